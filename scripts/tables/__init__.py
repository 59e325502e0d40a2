"""The tables of `scripts/benchmark.py`, a file each; each has `run(options)`."""
