"""Who is online where, and the servers that hold them."""
