"""Proof of the index: bucket, state, Parquet and Qdrant held against one another, and repaired."""
