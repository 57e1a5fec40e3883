"""How well search and detectors do: protocols, and what is measured by them."""
