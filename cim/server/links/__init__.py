"""What the server sends up to the routes, and what comes down from them."""
