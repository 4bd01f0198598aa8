"""A GGUF file to a folder that loads fast: safetensors, config and tokenizer, written once into the cache.

Dequantising keeps every weight exactly: a Q4_1 or Q8_0 block is a scale, an offset and small integers, and their
product in float32 is what every engine computes with. The result is keyed by the file and the format below, built in a
folder of its own and renamed into place, so that a half-written one is never seen and two processes cannot mix.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache as remembered
from importlib import import_module
from pathlib import Path
from typing import Any

from rag_core.engines.llama import read_settings
from rag_core.engines.weights import write_packed
from rag_core.errors import ModelLoadError
from rag_core.records import Progress, ProgressCallback

__all__ = ["conversion_of", "converted"]

# Raise it when what is written changes: older conversions are then made anew.
FORMAT_VERSION = "2"
_WORK = ".converting-"
# One conversion at a time has its parses remembered.
_parsing = threading.Lock()


def conversion_of(gguf: Path, cache: Path) -> Path | None:
    """Return the folder of the converted model, None where it has not been converted.

    Raises ModelLoadError where the file cannot be read.
    """
    folder = _folder(gguf, cache)
    return folder if (folder / "config.json").is_file() else None


def converted(gguf: Path, cache: Path, on_progress: ProgressCallback | None = None) -> Path:
    """Return the folder of the converted model, converting on first use (about 14 s for SmolLM2-135M).

    Raises ModelLoadError where the file is damaged or the cache cannot be written.
    """
    if (done := conversion_of(gguf, cache)) is not None:
        return done
    folder = _folder(gguf, cache)
    if on_progress:
        on_progress(Progress("converting", detail=f"{gguf.name}, once"))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(cache)
        _require_space(gguf, cache)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=cache))
    except OSError as error:
        raise ModelLoadError(f"The cache {cache} cannot be written; set RAG_CACHE_DIR to a folder of yours") from error
    try:
        with _parsed_once():
            _convert(gguf, work)
        try:
            work.rename(folder)
        except OSError:
            # Another process was first; its folder is whole, since a rename is all or nothing.
            if conversion_of(gguf, cache) is None:
                raise
        return folder
    except OSError as error:
        raise ModelLoadError(f"{gguf.name} could not be converted into {cache}: {error.strerror or error}") from error
    except Exception as error:
        raise ModelLoadError(f"{gguf.name} is damaged or of an unknown kind; reinstall it ({error})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _clear_abandoned(cache: Path) -> None:
    """Remove what conversions that were killed left behind; an hour is far more than one takes."""
    for folder in cache.glob(f"{_WORK}*"):
        if time.time() - folder.stat().st_mtime > 3_600:
            shutil.rmtree(folder, ignore_errors=True)


def _require_space(gguf: Path, cache: Path) -> None:
    # Four bits become thirty-two, with a little over for what is not weights.
    needed, free = 7 * gguf.stat().st_size, shutil.disk_usage(cache).free
    if free < needed:
        raise ModelLoadError(
            f"Converting {gguf.name} takes {needed >> 20} MiB in {cache} and {free >> 20} are free; "
            "free some, or set RAG_CACHE_DIR to a larger disk"
        )


def _folder(gguf: Path, cache: Path) -> Path:
    """Return the place for this file as it is: a full hash of 98 MB at each start would cost more than it protects."""
    try:
        status = gguf.stat()
        with gguf.open("rb") as file:
            head = file.read(1 << 20)
            file.seek(max(0, status.st_size - (1 << 20)))
            tail = file.read()
    except OSError as error:
        raise ModelLoadError(f"{gguf} cannot be read ({error.strerror}); check the file's rights and disk") from error
    digest = hashlib.sha256(f"{FORMAT_VERSION}:{gguf.name}:{status.st_size}:".encode() + head + tail)
    return cache / f"{gguf.stem}-{digest.hexdigest()[:16]}"


@contextmanager
def _parsed_once() -> Iterator[None]:
    """Have the file parsed once: transformers does so for the tokenizer, the config and the weights, 4 s each.

    It also makes the table of tensors' names anew for each of 397 modules, for 5 s in all. Neither result is changed by who
    gets it.
    """
    gguf: Any = import_module("gguf")
    with _parsing:
        reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
        read = remembered(reader)
        gguf.GGUFReader = lambda path, mode="r": read(str(path), mode)
        gguf.get_tensor_name_map = remembered(names)
        try:
            yield
        finally:
            gguf.GGUFReader, gguf.get_tensor_name_map = reader, names


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    tokenizer.save_pretrained(str(folder))
    # The loaded model calls itself quantised and refuses to be saved; its weights are plain float32.
    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    model.config.architectures = [type(model).__name__]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    if model.generation_config is not None:
        model.generation_config.save_pretrained(str(folder))
    # The config goes last: its presence says that the rest is there.
    model.config.save_pretrained(str(folder))
    if read_settings(folder) is not None:
        write_packed(gguf, folder)
