"""Sessions of guests, the clients of crossoverJie/cim: native clients inside the server (docs/architecture.md)."""
