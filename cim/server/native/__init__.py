"""Sessions of native clients."""
