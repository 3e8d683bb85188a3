"""Forecasts: pure functions over rows of the history. No files, no clock, no network, nothing random."""
