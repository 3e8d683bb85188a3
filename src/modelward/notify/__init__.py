"""The channels that notices go through, one file for each kind."""
