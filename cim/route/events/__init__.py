"""Webhooks: what happens is sent to other systems (docs/webhooks.md)."""
