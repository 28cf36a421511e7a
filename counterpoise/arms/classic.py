"""Rare classes are filled up with classical variations: stretch, pitch, noise, gain."""

from counterpoise.arms.arm import Arm

ARM = Arm(about="filled up with classical variations", cheap=True, fills=("classic",))
