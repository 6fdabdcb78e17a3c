"""Metrics of a run for Prometheus: the table of them, their values, and the ways out."""
