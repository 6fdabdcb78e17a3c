"""Binding a modality to pictures by pairs alone (ImageBind, section 3.2)."""
