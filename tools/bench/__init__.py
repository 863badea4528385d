"""Benchmarks: rates as ratios within one run, never as tests."""
