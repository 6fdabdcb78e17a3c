"""Decoding of one local file into windows of upright 224x224 frames and 16 kHz mono sound."""
