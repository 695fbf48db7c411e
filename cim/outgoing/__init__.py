"""HTTP that daemons send to strangers: every address is checked before it is connected to (docs/security.md)."""
