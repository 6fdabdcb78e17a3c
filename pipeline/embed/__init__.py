"""From planned objects to committed shards: decode, encode, write, in this process or by Ray."""
