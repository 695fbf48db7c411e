"""What a route serves over HTTP: `/v1`, and upstream's API. The rooms around it see no HTTP."""
