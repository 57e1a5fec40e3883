"""The projection of the catalog into vector stores, kept equal to it."""
