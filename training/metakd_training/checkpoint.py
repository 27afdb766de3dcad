"""A run's whole state in one safetensors file, written so that a kill leaves the old or the new.

Tensors are stored as such, the structure around them as JSON in the file's header: nothing is
pickled, so a checkpoint from elsewhere cannot run code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write nested dictionaries and lists of tensors, numbers, texts and `None`."""
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_outline(state, tensors))
    temporary = path.with_name(path.name + ".tmp")
    save_file(tensors, temporary, metadata={"state": structure})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # the name must not outlive a power cut that the content did not
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, on the CPU. Raises `ValueError` naming the file."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state: dict[str, Any] = _filled(json.loads(file.metadata()["state"]), tensors)
            return state
    except (SafetensorError, KeyError, TypeError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error})") from error


def _outline(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()  # safetensors forbids sharing
        return {"tensor": name}
    if isinstance(value, dict):  # pairs, because keys of an optimiser's state are numbers
        return {"dict": [[key, _outline(inner, tensors)] for key, inner in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_outline(inner, tensors) for inner in value]}
    return value


def _filled(outline: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(outline, dict):
        return outline
    ((kind, content),) = outline.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _filled(inner, tensors) for key, inner in content}
    return [_filled(inner, tensors) for inner in content]
