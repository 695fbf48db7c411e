"""A store on a Redis Cluster (docs/architecture.md, Redis Cluster)."""
