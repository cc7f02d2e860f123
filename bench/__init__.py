"""Measurements: `make bench`, `make bench-inference`, `make chaos`.

Each prints the machine, seed and date, and ends with `RESULT name=value` lines.
"""
