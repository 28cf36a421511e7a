"""Classical classifiers: cheap members of systems, which need no network of ours and no diffusion model."""
