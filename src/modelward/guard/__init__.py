"""The guard: the long-running process that watches, scrubs, snapshots, repairs and alerts by itself."""
