"""Reports of runs: the record that is kept, its page, and answers to questions about it."""
