"""What speaks for a hit: percentiles, votes, matching regions."""
