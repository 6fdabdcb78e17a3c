"""Applications of embeddings, as in the paper (Girdhar et al., CVPR 2023, section 4)."""
