"""From pixels to neighbours: reading, encoding, storing and searching medical images."""

__version__ = "0.1.0"
