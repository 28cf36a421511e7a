"""Rare classes weigh more in the loss."""

from counterpoise.arms.arm import Arm

ARM = Arm(about="rare classes weigh more in the loss", cheap=True, weighted=True)
