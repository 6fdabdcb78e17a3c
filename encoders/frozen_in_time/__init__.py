"""Frozen in Time: video, image and text in one space (Bain et al., ICCV 2021)."""
