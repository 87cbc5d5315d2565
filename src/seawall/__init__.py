"""Seawall: disaster recovery you can prove, for services that live on PostgreSQL."""

__version__ = "0.1.0"
