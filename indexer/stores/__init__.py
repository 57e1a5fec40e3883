"""Vector stores: one file each, one contract, a projection of the catalog."""
