"""Questions to vectors, vectors to moments, and how often they are the right ones."""
