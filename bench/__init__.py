"""Measurements: `make bench`, `make chaos`. Each prints the machine, seed and date, and ends with `RESULT name=value` lines."""
