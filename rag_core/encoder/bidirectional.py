"""A small Llama-type generator as an encoder: its tokens see the whole text, its matrices are rounded to bytes.

What is read is `train.reader.generator`'s: to each matrix of the base a low-rank change is added (adapters as in Hu et al.
2021, arXiv:2106.09685), then it is rounded to 8 bits in groups of 96 inputs. On our reading sets F1 is within 0.005 of
bfloat16's. The rounded layers are kept in the cache, keyed by base and change, and later loads read only them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag_core.encoder.bert import too_long
from rag_core.encoder.changes import unpacked
from rag_core.encoder.packed import multiplies_bytes
from rag_core.encoder.pieces import Piecework, lay_out, run_pieces
from rag_core.encoder.rounding import rounded, stacked
from rag_core.encoder.shapes import GROUP
from rag_core.engines.jit import READING, load_kernels
from rag_core.engines.llama import LlamaSettings, read_settings

if TYPE_CHECKING:
    import torch

__all__ = ["MATRICES", "NORMS", "BidirectionalEncoder", "bidirectional_encoder", "matrix_digest"]

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]
MATRICES = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
    "mlp.down_proj",
)  # fmt: skip
NORMS = ("input_layernorm", "post_attention_layernorm")
LAST_NORM = "model.norm"
_EMBEDDING = "model.embed_tokens.weight"
_DIGESTED = "model.layers.0.self_attn.q_proj.weight"
# Matrices that the kernels read as one.
_JOINED = (("joined", MATRICES[:3]), *((name.rpartition(".")[2], (name,)) for name in MATRICES[3:]))
# Raise it when what is kept changes its form.
_FORM = "1"
_UNUSED_SECONDS = 30 * 86_400


def matrix_digest(matrix: Floats) -> str:
    """Return 16 hexadecimal digits that tell the base of a change: of its first matrix, float32 (outputs, inputs)."""
    return hashlib.sha256(np.ascontiguousarray(matrix, dtype=np.float32).tobytes()).hexdigest()[:16]


def bidirectional_encoder(
    folder: Path, change: Path, cache: Path
) -> tuple[BidirectionalEncoder, Floats, Floats] | None:
    """Return the model in `folder` with `change` added, and weight and bias of the head that the change holds.

    None where the processor does not multiply bytes, where the model is of another kind, or where the change was trained
    from another one. Raises what safetensors raises, OSError and MemoryError.
    """
    settings = read_settings(folder)
    if settings is None or settings.hidden % GROUP or settings.feed_forward % GROUP or not multiplies_bytes():
        return None
    kept = cache / f"reading-{_key(folder, change)}.safetensors"
    parts = _read(kept)
    if parts is None:
        made = _merged(folder, change, settings)
        if made is None:
            return None
        parts = made
        _keep(parts, kept)
    encoder = BidirectionalEncoder(parts, settings, cache)
    return encoder, parts["head.weight"], parts["head.bias"]


class BidirectionalEncoder:
    """Rounded weights in memory, and the way from token ids to states. Thread-safe: nothing changes after `__init__`."""

    def __init__(self, parts: Mapping[str, npt.NDArray[Any]], settings: LlamaSettings, cache: Path) -> None:
        """Take what `bidirectional_encoder` keeps; compile or load the kernels, kept under `cache`."""
        self.settings = settings
        self._kernels = load_kernels(cache, READING)
        self._words, self._scales = parts["words"], parts["words.scales"]
        self._matrices = [(parts[f"{name}.weights"], parts[f"{name}.factors"]) for name, _ in _JOINED]
        self._norms, self._last = parts["norms"], parts["last_norm"]
        self._turns = _turns(settings)
        self._none = np.zeros(max(settings.hidden * 3, settings.feed_forward), dtype=np.float32)
        self.states([([0], 0)])  # compiles the kernels where they are not kept from an earlier start

    def states(self, pairs: Sequence[tuple[Sequence[int], int]]) -> list[Floats]:
        """Return the last layer's states, float32 (tokens, hidden), of each text's ids; where a part starts is of no account.

        Ids over the positions that are prepared are refused with ValueError.
        """
        ids = [row for row, _ in pairs]
        too_long(ids, len(self._turns))
        texts = lay_out(ids, len(self._words))
        scales = np.repeat(self._scales[texts.flat], GROUP, axis=1)
        states = self._words[texts.flat].astype(np.float32) * scales
        s = self.settings

        def work(piecework: Piecework) -> None:
            self._kernels.read_pieces(
                piecework.taken, piecework.done, piecework.pieces, texts.starts, states, *self._matrices, self._norms,
                self._last, self._turns, self._none, s.heads, s.key_value_heads, np.float32(s.epsilon), piecework.rows,
                piecework.longest,
            )  # fmt: skip

        run_pieces(texts.starts, work)
        return texts.apart(states)


# Places that are prepared: more than a window of the reader's has.
_MOST_PLACES = 1_024


def _turns(s: LlamaSettings) -> Floats:
    """Return cosines and sines of each place and pair, float32 (places, 2, head / 2)."""
    steps = np.arange(0, s.head_size, 2, dtype=np.float32) / np.float32(s.head_size)
    angles = np.arange(_MOST_PLACES, dtype=np.float32)[:, None] * (np.float32(1.0) / np.float32(s.rope_theta) ** steps)
    found: Floats = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return found


def _merged(folder: Path, change: Path, s: LlamaSettings) -> Arrays | None:
    """Return the rounded layers, None where `change` was trained from another base."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(str(change), framework="pt") as file:
        expected = (file.metadata() or {}).get("base", "")
    changes = {name: tensor.numpy() for name, tensor in unpacked(load_file(str(change))).items()}
    with _opened(folder) as get:
        if matrix_digest(get(_DIGESTED)) != expected:
            return None
        parts: Arrays = {name: changes[name] for name in ("head.weight", "head.bias")}
        for name, names in _JOINED:
            layers = [
                rounded(np.concatenate([_changed(get, changes, f"model.layers.{layer}.{part}") for part in names]))
                for layer in range(s.layers)
            ]
            parts[f"{name}.weights"], parts[f"{name}.factors"] = stacked(layers)
        parts["words"], parts["words.scales"] = _in_bytes(get(_EMBEDDING))
    parts["norms"] = np.stack(
        [np.stack([changes[f"model.layers.{layer}.{norm}"] for norm in NORMS]) for layer in range(s.layers)]
    )
    parts["last_norm"] = changes[LAST_NORM]
    return parts


def _changed(get: Callable[[str], Floats], changes: Mapping[str, Floats], name: str) -> Floats:
    base = get(f"{name}.weight")
    # `up` is kept with its outputs last, so that 64 of them share a scale.
    return base + changes[f"{name}.up"].T @ changes[f"{name}.down"]


class _opened:
    """The tensors of a folder by name, as float32; a context manager."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self._where: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            self._where.update(dict.fromkeys(file.keys(), file))

    def __enter__(self) -> Callable[[str], Floats]:
        return self._get

    def __exit__(self, *_: object) -> None:
        self._where.clear()

    def _get(self, name: str) -> Floats:
        tensor: torch.Tensor = self._where[name].get_tensor(name)
        found: Floats = tensor.float().numpy()
        return found


def _in_bytes(words: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Return the vectors of all tokens in 8 bits, and the scale of each 96 numbers."""
    groups = words.reshape(len(words), -1, GROUP)
    scales = np.maximum(np.abs(groups).max(axis=-1), np.float32(1e-30)) / np.float32(127)
    return np.rint(groups / scales[..., None]).astype(np.int8).reshape(words.shape), scales.astype(np.float32)


def _key(folder: Path, change: Path) -> str:
    """Return a name for this change over this base; the folder's own name says which base it is."""
    return hashlib.sha256(f"{_FORM}:{folder.resolve()}:".encode() + change.read_bytes()).hexdigest()[:16]


def _read(path: Path) -> Arrays | None:
    """Return what was kept, None where nothing was or it is damaged."""
    from safetensors.numpy import load_file

    try:
        if not path.is_file():
            return None
        parts = load_file(path)
        with suppress(OSError):
            path.touch()
        return parts
    except Exception as error:  # safetensors raises kinds of its own.
        log.info("%s is made anew: %s", path.name, error)
        return None


def _clear_unused(kept: Path) -> None:
    """Remove what earlier versions kept beside it and none has read for a month."""
    for path in kept.parent.glob("reading-*.safetensors"):
        if path != kept and time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
            path.unlink(missing_ok=True)


def _keep(parts: Arrays, path: Path) -> None:
    """Write the layers for later starts, all or nothing; a disk that is full or closed costs them the time, no more."""
    from safetensors.numpy import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".reading-", dir=path.parent)
        os.close(handle)
        try:
            save_file(parts, name)
            Path(name).replace(path)
            _clear_unused(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except Exception as error:
        log.info("The reader's layers are not kept: %s", error)
