"""Plans a run: the listing beside the state, cut into shards. Only reads."""
