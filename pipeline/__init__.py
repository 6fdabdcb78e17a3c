"""The data plane: records, planning, decoding, the Ray Data graph, loading, state and search."""
