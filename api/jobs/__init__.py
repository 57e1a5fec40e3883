"""Long work as jobs: what kinds there are, the worker that does them, what they leave."""
