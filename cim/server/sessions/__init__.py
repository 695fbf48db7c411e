"""The sessions of this server, and what is pushed to them."""
