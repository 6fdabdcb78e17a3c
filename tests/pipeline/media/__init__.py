"""Tests of decoding, on real files made on the spot."""
