"""Another index from the embeddings that are kept: no media is fetched and no model is run."""
