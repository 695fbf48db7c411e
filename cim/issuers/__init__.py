"""JWTs of operators' own issuers: who issues them, by which keys they are checked, and what they assert (RFC 7519)."""
