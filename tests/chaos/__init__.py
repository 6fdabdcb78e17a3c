"""Runs that are killed at every point of the protocol, and what the next one makes of it."""
