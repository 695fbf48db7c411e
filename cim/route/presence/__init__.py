"""Who is online where, and the servers that hold the sessions."""
