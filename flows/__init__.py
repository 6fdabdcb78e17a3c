"""Prefect flows over `pipeline`, and the command line that starts them."""
