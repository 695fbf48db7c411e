"""Native clients' sessions."""
