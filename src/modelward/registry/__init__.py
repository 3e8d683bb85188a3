"""The one client of registries: addresses, connections, challenges and ranges."""
