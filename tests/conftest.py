"""What all tests share: one thread, so that small tensors are quick and results do not depend on the machine.

Two workers share the tests, and the file that takes longest begins; who has finished takes tests over from the other.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list) -> None:
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
