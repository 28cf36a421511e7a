"""What all tests share: one thread, so that small tensors are quick and results do not depend on the machine."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
