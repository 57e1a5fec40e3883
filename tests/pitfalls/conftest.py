"""Pitfalls of real archives: see tests/pitfalls/making.py for how the files are made."""
