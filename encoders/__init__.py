"""Encoders: pictures, sounds and words to unit vectors in one space. Usable alone."""
