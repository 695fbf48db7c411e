"""The terminal client, `cim` and `twistd cim-client`, on the client library (docs/terminal.md)."""
