"""Measurements, and the cluster on one machine that they and `make cluster` run."""
