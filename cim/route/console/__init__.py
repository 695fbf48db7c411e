"""The operators' console: a listener of its own with its page, and the calls of operators under a cookie."""
