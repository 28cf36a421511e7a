"""Rare classes are filled up with variations by their own diffusion models."""

from counterpoise.arms.arm import Arm

ARM = Arm(about="filled up with variations by diffusion", cheap=False, fills=("diffusion",))
