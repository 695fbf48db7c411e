"""Accounts and sessions: the Redis ones and the embedded ones (DESIGN.md section 5)."""
