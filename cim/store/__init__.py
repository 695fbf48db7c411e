"""Accounts and sessions: the Redis ones and the embedded ones (docs/architecture.md, Stores)."""
