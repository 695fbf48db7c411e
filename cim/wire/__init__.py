"""Bytes, frames and packets: everything about the wire that needs no socket (DESIGN.md section 4)."""
