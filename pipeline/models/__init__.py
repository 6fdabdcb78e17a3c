"""Which encoders a run uses, which vectors they fill, and where their weights are."""
