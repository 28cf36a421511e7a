"""Rare classes are filled up with their own clips over a quieter sound of another class.

The other sound is a stretch of a training clip, as loud as `BACKGROUND_SNR` in `counterpoise/splits/training_tables.py`
allows.
"""

from counterpoise.arms.arm import Arm

ARM = Arm(about="filled up with clips over sounds of other classes", cheap=True, fills=("background",))
