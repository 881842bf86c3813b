"""Storage in memory."""

from storage_in_memory import bucket, cache

__all__ = ["bucket", "cache"]
