"""How well the shipped model retrieves: `make eval`, and docs/retrieval.md from it."""
