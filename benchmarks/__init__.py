"""Speed and memory beside the programs that people use today, measured in one run: ``python -m benchmarks``."""
