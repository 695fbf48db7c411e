"""The sessions of this server, and what they are pushed."""
