"""What a route serves over HTTP: `/v1` and upstream's API. The packages around it know nothing of HTTP."""
