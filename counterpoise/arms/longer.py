"""Nothing is done about the imbalance, and training takes four times as many steps: a control.

It is the only arm that gets more training. What a diffusion model adds has cost training of its own, which this arm
spends on the network.
"""

from counterpoise.arms.arm import Arm

ARM = Arm(about="nothing is done, in four times as many training steps", cheap=True, steps=4.0)
