"""QIDO-RS, WADO-RS and STOW-RS, as PS3.18 asks."""
