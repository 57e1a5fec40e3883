"""What changes over time against a reference."""
