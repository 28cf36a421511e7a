"""Cheap alternatives to diffusion: classical effects, backgrounds, and round trips through the codec."""
