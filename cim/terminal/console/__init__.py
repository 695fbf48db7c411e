"""The terminal: what is typed or piped means, what is shown, and how it looks (docs/terminal.md)."""
