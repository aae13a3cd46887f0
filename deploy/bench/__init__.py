"""Benchmarks: they report figures and never pass or fail."""
