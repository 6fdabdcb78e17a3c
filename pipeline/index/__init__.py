"""The Qdrant collection: opened, filled, flipped, asked. The home of qdrant_client."""
