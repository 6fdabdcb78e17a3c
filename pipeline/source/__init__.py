"""Which objects of a listing are media, and what stands beside them."""
