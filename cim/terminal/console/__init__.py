"""The terminal: what typed or piped lines mean, what is shown, and how it looks (docs/terminal.md)."""
