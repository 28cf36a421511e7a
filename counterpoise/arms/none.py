"""Nothing is done about the imbalance: the baseline."""

from counterpoise.arms.arm import Arm

ARM = Arm(about="nothing is done", cheap=True)
