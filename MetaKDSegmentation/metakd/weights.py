"""Reading weights: the safetensors format, plain numbers that cannot carry code.

A file is 8 bytes header length, a JSON header of names, types, shapes and offsets, and numbers.
Read here, and not by the `safetensors` package, because Slicer does not ship that and this way
there is one reader everywhere.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import torch
from torch import Tensor

_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


def read_weights(data: bytes) -> dict[str, Tensor]:
    """Tensors (float32) by name. Raises `ValueError` on anything malformed."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_without_repeats)
        header.pop("__metadata__", None)
        body = bytearray(data[8 + length :])
        spans = sorted(entry["data_offsets"] for entry in header.values())
        ends = [0, *(stop for _, stop in spans)]
        if [start for start, _ in spans] != ends[:-1] or ends[-1] != len(body):
            raise ValueError("the tensors overlap or do not fill the safetensors file")
        tensors = {name: _tensor(body, **entry) for name, entry in header.items()}
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise ValueError("a weight is not a number")
        return tensors
    except (struct.error, TypeError, AttributeError, KeyError, RuntimeError) as error:
        # RecursionError, of a header nested too deep, is a RuntimeError.
        raise ValueError("not a safetensors file") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice in the safetensors header")
    return dict(pairs)


def _tensor(body: bytearray, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    kind = _DTYPES[dtype]
    start, stop = data_offsets
    count = int(torch.Size(shape).numel())
    if not (0 <= start <= stop <= len(body)) or stop - start != count * kind.itemsize:
        raise ValueError("a tensor reaches beyond the safetensors file")
    values = torch.frombuffer(body, dtype=kind, count=count, offset=start)
    return values.reshape(shape).to(torch.float32, copy=True)
