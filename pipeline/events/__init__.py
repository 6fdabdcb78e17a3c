"""S3 event notifications from a queue: read, gathered, and given back or deleted."""
