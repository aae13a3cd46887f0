"""Benchmarks: `ringpost bench` starts everything on this machine, measures it, and holds it against the goals."""
