"""Measurements: one script per claim (`python -m benchmarks.line`), and pytest-benchmark cases for the parts."""
