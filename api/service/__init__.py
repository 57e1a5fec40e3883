"""One function per use case: typed in, dataclass out, no printing."""
