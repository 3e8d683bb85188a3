"""Detectors of a library that learns, each in a process of its own; off unless a setting switches them on."""
