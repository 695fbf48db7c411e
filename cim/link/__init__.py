"""The pipe between a server and a route (docs/architecture.md, Links)."""
