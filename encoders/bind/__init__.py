"""Binding a sense to pictures by pairs alone (ImageBind, section 3.2)."""
