"""How well a library is searched: protocols, figures, intervals, charts."""
