"""Notifies users of messages that no session of theirs took (docs/push.md)."""
