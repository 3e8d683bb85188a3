"""Modelward keeps locally served language models alive: backup with proof, verify, repair."""

__all__ = ["__version__"]

__version__ = "0.1.0"
