"""Per-class diffusion: networks, EDM preconditioning and loss, training, sampling."""
