"""From raw pictures, sound and words to what the networks take; pure and batched."""
