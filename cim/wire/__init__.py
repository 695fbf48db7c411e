"""Bytes, frames and packets: everything about the wire that needs no socket (docs/protocol.md)."""
