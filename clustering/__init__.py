"""Groups without labels: arrays in, results out. See `clustering.contract`."""
