"""The rules of Modelward as pure values and functions: no files, no clock, no network, no logging."""
