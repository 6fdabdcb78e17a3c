"""What a run sets out to do: the listing beside the state, cut into shards. Only reads."""
