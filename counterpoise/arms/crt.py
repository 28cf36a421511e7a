"""The head is trained anew, on as many clips of one class as of another, under a body that stays (Kang et al. 2020).

B. Kang, S. Xie, M. Rohrbach, Z. Yan, A. Gordo, J. Feng and Y. Kalantidis, "Decoupling Representation and Classifier for
Long-Tailed Recognition", ICLR 2020, section 4, classifier re-training. As in the paper the second stage is the shorter
one. It is a part of the steps that every arm has, so that this arm has no more training than another.
"""

from counterpoise.arms.arm import Arm

ARM = Arm(about="the head is trained anew on balanced draws", cheap=True, retrain_head=0.25)
