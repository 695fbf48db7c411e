"""Operators' own issuers of JWTs, at a route: where their keys come from."""
