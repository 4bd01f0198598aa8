"""Tensors from safetensors files into memory of the device, as fast as the files can be read.

Several threads read pieces into page-locked buffers, from where the card fetches them while the next are read.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from rag_core.errors import ModelLoadError

__all__ = ["TensorFiles"]

_THREADS = 8
_PIECE_BYTES = 32 << 20
_TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies: bytes from `start` of a file."""

    path: Path
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]


class TensorFiles:
    """The tensors of all safetensors files of a folder, by name."""

    def __init__(self, folder: Path) -> None:
        """Read the headers. Raises ModelLoadError where a file is damaged."""
        self._folder = folder
        self._places: dict[str, _Place] = {}
        for path in sorted(folder.glob("*.safetensors")):
            self._places.update(_header(path))
        self._buffers = threading.local()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def fill(self, targets: Mapping[str, torch.Tensor]) -> None:
        """Write each named tensor into its target, contiguous and of its shape. Raises ModelLoadError."""
        pieces: list[tuple[_Place, torch.Tensor, int, int]] = []
        for name, target in targets.items():
            place = self._places.get(name)
            if place is None:
                raise ModelLoadError(f"{self._folder} lacks the weight {name}; delete it and get the model again")
            if place.shape != tuple(target.shape):
                raise ModelLoadError(
                    f"{name} in {self._folder} is {place.shape} and config.json says {tuple(target.shape)}; "
                    "delete it and get the model again"
                )
            flat, step = target.view(-1), _PIECE_BYTES // place.dtype.itemsize
            pieces.extend((place, flat, at, min(at + step, flat.numel())) for at in range(0, flat.numel(), step))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="weights") as pool:
            for _ in pool.map(lambda piece: self._copy(*piece), pieces):
                pass

    def _copy(self, place: _Place, target: torch.Tensor, first: int, last: int) -> None:
        size = place.dtype.itemsize
        buffer = self._buffer(target.device)
        raw = buffer[: (last - first) * size]
        with place.path.open("rb", buffering=0) as file:
            file.seek(place.start + first * size)
            whole, read = memoryview(raw.numpy().data), 0
            while read < len(whole):
                # readinto may stop short; at the end of a file that was cut off it reads nothing.
                count = file.readinto(whole[read:])
                if not count:
                    raise ModelLoadError(f"{place.path} is cut off; delete it and get the model again")
                read += count
        with torch.inference_mode():
            target[first:last].copy_(raw.view(place.dtype))

    def _buffer(self, device: torch.device) -> torch.Tensor:
        found: torch.Tensor | None = getattr(self._buffers, "bytes", None)
        if found is None:
            found = torch.empty(_PIECE_BYTES, dtype=torch.uint8, pin_memory=device.type == "cuda")
            self._buffers.bytes = found
        return found


def _header(path: Path) -> dict[str, _Place]:
    """Return the tensors of one file (the format: github.com/huggingface/safetensors)."""
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > 100 << 20:
                raise ValueError("no header")
            entries: dict[str, Any] = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        found = {}
        for name, entry in entries.items():
            # Weights in other types (eight bits, say) are not for this engine; who needs them hears that they lack.
            if entry["dtype"] in _TYPES:
                shape, dtype = tuple(int(size) for size in entry["shape"]), _TYPES[entry["dtype"]]
                start, end = entry["data_offsets"]
                if end - start != prod(shape) * dtype.itemsize:
                    raise ValueError("sizes contradict each other")
                found[name] = _Place(path, 8 + length + int(start), dtype, shape)
        return found
    except (struct.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelLoadError(f"{path} is damaged; delete it and get the model again") from error
