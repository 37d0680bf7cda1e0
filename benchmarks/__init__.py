"""Benchmarks: each prints a small table of timings against a named baseline that it runs itself."""
