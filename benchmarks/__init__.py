"""Measurements of the platform. Each module answers one question; `python -m benchmarks` runs all of them."""
