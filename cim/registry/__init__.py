"""The list of living servers and routes: ZooKeeper, in memory, or static."""
