"""Cheap alternatives to diffusion: classical effects, and round trips through the codec."""
