"""How the bundled checkpoint, sensedex-mini, was made."""
