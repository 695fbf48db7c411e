"""Clients' connections: TCP, WebSocket, and the server's HTTP calls."""
