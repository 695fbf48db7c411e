"""Fakes and harnesses for tests and benchmarks; nothing in the product imports them."""
