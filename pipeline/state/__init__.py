"""What runs leave in the state location: objects, leases, receipts and embeddings."""
