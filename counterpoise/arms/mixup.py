"""The sounds of a batch are mixed in pairs, and their labels with them (Zhang et al. 2018)."""

from counterpoise.arms.arm import Arm

ARM = Arm(about="batches are mixed in pairs", cheap=True, mixup=True)
