"""Encoders of the transformers library behind the one protocol, from folders, never a download."""
