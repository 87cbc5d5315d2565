"""Seawall beside pgBackRest and pg_basebackup: one machine, one cluster, one run, ratios.

Whole commands are timed, from start to exit. Nothing here is part of the product, and no test runs it.
"""
