"""Whether a model fits, asked before it is loaded, and the errors of the libraries below in our words."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, prod
from pathlib import Path

from rag_core.engines.weights import PACKED_FILE
from rag_core.errors import ModelLoadError, OutOfMemoryError, RagError

__all__ = ["free_gpu_bytes", "is_memory_error", "require_memory", "thread_count", "translated", "weight_counts"]

_LONGEST_HEADER = 100 << 20


def weight_counts(folder: Path) -> dict[str, int]:
    """Return the number of weights in the folder's safetensors files by type (`BF16`), from their headers alone."""
    found: dict[str, int] = {}
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            # The format: eight bytes of length, then as many of JSON (github.com/huggingface/safetensors).
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            try:
                header = json.loads(file.read(length)) if 2 <= length <= _LONGEST_HEADER else {}
                for entry in (entry for name, entry in header.items() if name != "__metadata__"):
                    found[entry["dtype"]] = found.get(entry["dtype"], 0) + prod(entry["shape"])
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ModelLoadError(f"{path} is damaged; delete it and get the model again") from error
        if not header:
            raise ModelLoadError(f"{path} is damaged; delete it and get the model again")
    return found


def free_gpu_bytes(device: str) -> int:
    """Return the free memory of a CUDA device in bytes."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def require_memory(folder: Path, *, kept_small: bool) -> None:
    """Raise OutOfMemoryError where the weights do not fit into the free memory: the system would end us unasked.

    They are float32, but where `kept_small` of the type they have in the file (bfloat16, or the bits of a GGUF file).
    """
    import psutil

    packed = folder / PACKED_FILE
    if kept_small and packed.is_file():
        needed = packed.stat().st_size
    else:
        counts = weight_counts(folder)
        needed = sum(count * (2 if kept_small and kind == "BF16" else 4) for kind, count in counts.items())
    free = psutil.virtual_memory().available
    if needed > free:
        raise OutOfMemoryError(
            f"{folder.name} needs {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} are free; "
            "set RAG_MODEL to a smaller model, or use a machine with a GPU"
        )


def thread_count(setting: int) -> int:
    """Return how many CPU threads to compute with: the setting, or the cores that this process may use (0).

    More threads than cores wait for each other at every matrix, so a container's share counts, not the host's cores.
    """
    if setting:
        return setting
    import psutil

    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, ceil(min(cores, _cpu_quota())))


def _cpu_quota() -> float:
    """Return the cores that the control group grants (version 2: cpu.max), infinity where it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return float("inf") if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return float("inf")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what torch, transformers, bitsandbytes and safetensors raise into our own errors, the original chained."""
    try:
        yield
    except RagError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if is_memory_error(error):
            raise OutOfMemoryError(
                f"{name} does not fit in the memory of the device; set RAG_LOAD_IN_4BIT=true on a GPU, take fewer "
                "passages, or set RAG_MODEL to a smaller model"
            ) from error
        raise ModelLoadError(f"{name} does not run ({type(error).__name__}: {_first_line(error)})") from error


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error of a library below says that memory ended, on the device or beside it."""
    # torch tells of exhausted CPU memory by a plain RuntimeError.
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no details")[:300]
