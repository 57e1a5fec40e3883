"""Studies that arrive by themselves, or are fetched from other systems."""
