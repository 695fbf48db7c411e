"""Who may do what in a group, and whom a login replaces: the same rules for every store.

The rules are functions on values and know nothing of stores. A store reads the facts, lets a rule decide, and writes
the decision, either in one transaction or only if the facts are unchanged (docs/architecture.md).
"""
