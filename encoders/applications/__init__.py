"""What the paper does with its embeddings, as functions (Girdhar et al., CVPR 2023, section 4)."""
