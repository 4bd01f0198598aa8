"""Weights in safetensors files: which tensors a base holds and where, one of them at a time, and what a write may meet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from train.base import read_config
from train.errors import BaseModelError, DiskError

if TYPE_CHECKING:
    import torch

__all__ = ["INDEX_FILE", "base_tensors", "read_tensor", "written"]

INDEX_FILE = "model.safetensors.index.json"
# What safetensors calls the types that are full precision; anything else in a base is quantised.
_WHOLE_TYPES = ("F64", "F32", "F16", "BF16")


def base_tensors(folder: Path) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Return file and shape of each tensor of a base, in the order of its files.

    Raises BaseModelError where the base is quantised, is not in safetensors, or lacks a file.
    """
    from safetensors import SafetensorError, safe_open

    if read_config(folder).get("quantization_config"):
        raise BaseModelError(f"{folder} is quantised; a merge needs the base in full precision: --base FOLDER")
    index = folder / INDEX_FILE
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values() if index.is_file() else ()
        files = [folder / name for name in dict.fromkeys(names)] or sorted(folder.glob("*.safetensors"))
        if not files:
            raise BaseModelError(f"{folder} holds no .safetensors file; download the base in that format")
        found = {}
        for path in files:
            with safe_open(str(path), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - this is no dictionary
                    part = file.get_slice(name)
                    if part.get_dtype() not in _WHOLE_TYPES:
                        raise BaseModelError(
                            f"{path} holds {part.get_dtype()} weights: it is quantised; a merge needs the base in full "
                            "precision: --base FOLDER"
                        )
                    found[name] = (path, tuple(part.get_shape()))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BaseModelError(f"{folder} is not whole ({error}); download the base again") from error
    return found


def read_tensor(path: Path, name: str) -> torch.Tensor:
    """Return one tensor of a safetensors file as it is stored, mapped and not read yet.

    The file is opened for each: what is mapped of it counts as our memory until the last tensor of the opening goes.
    """
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return file.get_tensor(name)  # type: ignore[no-any-return]


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Turn what a full or closed disk makes of a write into DiskError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors tells of the system's error in words alone.
        if getattr(error, "errno", None) == 28 or "os error 28" in str(error) or "No space left" in str(error):
            raise DiskError(f"The disk of {folder} is full; free some space, or name another with --output") from error
        raise DiskError(f"{folder} cannot be written ({error}); name another with --output") from error
