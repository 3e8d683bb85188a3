"""Bundles: one portable file with a model in it, written and read chunk by chunk."""
