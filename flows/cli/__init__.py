"""The command `sensedex`."""
