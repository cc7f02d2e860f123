"""Embedded servers: the same software as in production, installed as Python packages, run as child processes.

Each module has `prepare(folder) -> Part`, which makes the data folder on first use and keeps data and port across restarts.
"""
