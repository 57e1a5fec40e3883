"""What is kept of groups of items: clusterings, maps, the neighbour graph of a space, tags."""
