"""HTTP habits that both daemons share."""
