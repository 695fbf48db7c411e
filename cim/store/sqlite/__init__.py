"""The store of a single machine, in a SQLite file."""
