"""From a request to an answer: examples, voices, ranking, grouping, and what is told of it."""
