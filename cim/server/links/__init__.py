"""What goes up to the routes and comes down from them."""
