"""What a run did, as a record that is kept, as a page, and as answers to questions about it."""
