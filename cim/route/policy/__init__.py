"""Who decides on what people say and call themselves: plugins, and hooks over HTTP (docs/hooks.md)."""
