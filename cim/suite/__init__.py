"""A server and a route in one process."""
