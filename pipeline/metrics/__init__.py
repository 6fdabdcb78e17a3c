"""Metrics of a run for Prometheus, and its trace: made of what it tells, and the ways out."""
