"""Rare classes are filled up with their own clips through the codec and back: the control.

These clips hold the decoder's traces and nothing new. What diffusion gains beyond them is the diffusion model's work.
"""

from counterpoise.arms.arm import Arm

ARM = Arm(about="filled up with the same clips through the codec and back", cheap=True, fills=("roundtrip",))
