"""ImageBind: one embedding space for six modalities (Girdhar et al., CVPR 2023)."""
