"""How unlike a reference: arrays in, scores out. See `ood.contract`."""
