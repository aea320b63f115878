"""Benchmarks: each compares Oscine with the bare engine in one run and prints a ratio."""
