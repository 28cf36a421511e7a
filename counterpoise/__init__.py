"""Balance an imbalanced sound collection with one small diffusion model per class, and measure whether it helps."""
