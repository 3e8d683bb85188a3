"""The HTTP API: thin and asynchronous over the same services as the command line."""
