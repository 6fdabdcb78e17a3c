"""The state location: objects, leases, receipts and embeddings, as runs leave them."""
