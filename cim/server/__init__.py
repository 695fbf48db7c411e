"""Holds the long connections of the users."""
