"""The pipe between a server and a route (DESIGN.md section 6)."""
