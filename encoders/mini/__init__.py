"""Makes the bundled checkpoint, sensedex-mini, again from nothing."""
