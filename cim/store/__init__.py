"""The stores: Redis for a cluster, SQLite for a single machine (docs/architecture.md, Stores)."""
