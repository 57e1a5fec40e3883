"""Clusterings, maps, and near neighbours of a library."""
