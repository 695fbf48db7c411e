"""The store on Redis, which all routes of a cluster share."""
