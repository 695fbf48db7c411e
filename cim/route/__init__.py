"""The stateless HTTP router."""
