"""Client connections over TCP and WebSocket, and the server's HTTP calls."""
