"""The use cases, one a file: each takes a site, does one thing through the ports, and returns a value."""
