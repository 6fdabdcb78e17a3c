"""Estimates of what a run takes, in ranges, and what they are made by."""
