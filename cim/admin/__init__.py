"""`cim-admin`: what operators do from a shell (docs/operations.md, Users)."""
