"""The one place where arrays become tensors and back, without torch's compiled numpy bridge.

Some Slicer platforms run a torch that was built for numpy 1 beside numpy 2; there
`torch.from_numpy` and `Tensor.numpy` fail. Python's buffer protocol always works.
"""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
import torch


def to_tensor(array: npt.NDArray[np.float32]) -> torch.Tensor:
    """Tensor of the same shape that shares the array's memory where that is contiguous."""
    contiguous = np.require(array, dtype=np.float32, requirements=["C", "W"])
    return torch.frombuffer(contiguous, dtype=torch.float32).reshape(array.shape)


def to_array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    """Array of the same shape, a copy, from a tensor on any device and of any floating type."""
    values = tensor.detach().to("cpu", torch.float32).contiguous()
    array = np.empty(tuple(values.shape), dtype=np.float32)
    ctypes.memmove(array.ctypes.data, values.data_ptr(), array.nbytes)
    return array
