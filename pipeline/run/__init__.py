"""A whole run: the steps of the protocol in their order, and what is checked before them."""
