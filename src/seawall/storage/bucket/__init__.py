"""Buckets: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

The two clients, for objects and for what a bucket says of itself, and all that is translated from them. Retries and
the URL of a repository are not here: they are alike for every store.
"""

__all__: list[str] = []
