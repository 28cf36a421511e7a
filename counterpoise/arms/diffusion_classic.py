"""Rare classes are filled up with variations by diffusion and classical ones in turn."""

from counterpoise.arms.arm import Arm

ARM = Arm(about="filled up with both in turn", cheap=False, fills=("diffusion", "classic"))
