"""The Redis store, which all routes of a cluster share."""
