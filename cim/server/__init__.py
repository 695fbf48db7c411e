"""The server: it holds users' long-lived connections."""
