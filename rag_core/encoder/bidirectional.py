"""A small Llama-type generator as an encoder: its tokens see the whole text, its matrices are rounded to bytes.

What is read is `train.reader.generator`'s: to each matrix of the base a low-rank change is added (adapters as in Hu et al.
2021, arXiv:2106.09685), then it is rounded to 8 bits in groups of 96 inputs. On our reading sets F1 is within 0.01 of
bfloat16's. The rounded layers are kept in the cache, keyed by base and change, and later loads read only them.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag_core.encoder.bert import too_long
from rag_core.encoder.changes import trained_from, unpacked
from rag_core.encoder.packed import multiplies_bytes
from rag_core.encoder.pieces import Piecework, lay_out, run_pieces
from rag_core.encoder.rounding import in_bytes, rounded, stacked
from rag_core.encoder.shapes import GROUP, TILE
from rag_core.engines.jit import READING, load_kernels
from rag_core.engines.llama import LlamaSettings, read_settings, turns
from rag_core.engines.weights import FolderTensors

__all__ = [
    "HEADS",
    "LAST_NORM",
    "MATRICES",
    "NORMS",
    "BidirectionalEncoder",
    "bidirectional_encoder",
    "generator_digest",
]

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]
Heads = dict[str, tuple[Floats, Floats]]
MATRICES = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
    "mlp.down_proj",
)  # fmt: skip
NORMS = ("input_layernorm", "post_attention_layernorm")
LAST_NORM = "model.norm"
# What is read off the states: where an answer starts and ends, which shape a formula has, and what figures do in it.
HEADS = ("head", "shapes", "roles")
_EMBEDDING = "model.embed_tokens.weight"
_DIGESTED = "model.layers.0.self_attn.q_proj.weight"
# Matrices that the kernels read as one.
_JOINED = (("joined", MATRICES[:3]), *((name.rpartition(".")[2], (name,)) for name in MATRICES[3:]))
# Raise it when what is kept changes its form.
_FORM = "2"
# Places that are prepared: more than a window of the reader's has.
_MOST_PLACES = 1_024
_UNUSED_SECONDS, _ABANDONED_SECONDS = 30 * 86_400, 3_600


def generator_digest(folder: Path) -> str:
    """Return 16 hexadecimal digits that tell the base of a change: of the first matrix in `folder`, as float32."""
    matrix = FolderTensors(folder).plain(_DIGESTED)
    return hashlib.sha256(np.ascontiguousarray(matrix, dtype=np.float32).tobytes()).hexdigest()[:16]


def bidirectional_encoder(folder: Path, change: Path, cache: Path) -> tuple[BidirectionalEncoder, Heads] | None:
    """Return the model in `folder` with `change` added, and weight and bias of each head that the change holds.

    A head is called by its name in HEADS: its weight is float32 (outputs, hidden), its bias (outputs). None where the
    processor does not multiply bytes, where the model is of another kind, or where the change was trained from another one.
    Raises what safetensors raises, OSError and MemoryError.
    """
    settings = read_settings(folder)
    if settings is None or not _divides(settings) or not multiplies_bytes():
        return None
    kept = cache / f"reading-{_key(folder, change)}.safetensors"
    parts = _read(kept)
    if parts is None or not _fits(parts, settings):
        made = _merged(folder, change, settings)
        if made is None:
            log.warning("%s was trained from another model than that in %s; it is left out", change.name, folder.name)
            return None
        parts = made
        _keep(parts, kept)
    heads = {name: (parts[f"{name}.weight"], parts[f"{name}.bias"]) for name in HEADS}
    return BidirectionalEncoder(parts, settings, cache), heads


class BidirectionalEncoder:
    """Rounded weights in memory, and the way from token ids to states. Thread-safe: nothing changes after `__init__`."""

    def __init__(self, parts: Mapping[str, npt.NDArray[Any]], settings: LlamaSettings, cache: Path) -> None:
        """Take what `bidirectional_encoder` keeps; compile or load the kernels, kept under `cache`."""
        self.settings = settings
        self._kernels = load_kernels(cache, READING)
        self._words, self._scales = parts["words"], parts["words.scales"]
        self._matrices = [(parts[f"{name}.weights"], parts[f"{name}.factors"]) for name, _ in _JOINED]
        self._norms, self._last = parts["norms"], parts["last_norm"]
        # Halves of a head turn against each other: cosines of all its pairs, then sines, float32 (places, 2, head / 2).
        pairs = turns(_MOST_PLACES, settings.head_size, settings.rope_theta)
        self._turns = np.ascontiguousarray(pairs.transpose(0, 2, 1))
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

        run_pieces(texts.starts, work, "reading")
        return texts.apart(states)


def _divides(s: LlamaSettings) -> bool:
    """Whether the kernels can take a model of this shape."""
    return s.hidden % GROUP == 0 and s.feed_forward % GROUP == 0 and s.heads * s.head_size == s.hidden


def _fits(parts: Arrays, s: LlamaSettings) -> bool:
    """Whether what was kept has the shapes that the kernels are about to read."""
    wide = s.hidden + 2 * s.key_value_heads * s.head_size
    inputs = {"down_proj": s.feed_forward}
    outputs = {"joined": wide, "gate_proj": s.feed_forward, "up_proj": s.feed_forward}
    shapes: dict[str, tuple[int, ...]] = {"norms": (s.layers, 2, s.hidden), "last_norm": (s.hidden,)}
    for name, _ in _JOINED:
        tiles, size = outputs.get(name, s.hidden) // TILE, inputs.get(name, s.hidden)
        shapes[f"{name}.weights"] = (s.layers, tiles, size // 4, TILE, 4)
        shapes[f"{name}.factors"] = (s.layers, tiles, size // GROUP, 2, TILE)
    shapes |= {"words": (s.vocabulary, s.hidden), "words.scales": (s.vocabulary, s.hidden // GROUP)}
    return all(name in parts and parts[name].shape == shape for name, shape in shapes.items()) and all(
        f"{name}.bias" in parts
        and f"{name}.weight" in parts
        and parts[f"{name}.weight"].shape == (len(parts[f"{name}.bias"]), s.hidden)
        for name in HEADS
    )


def _merged(folder: Path, change: Path, s: LlamaSettings) -> Arrays | None:
    """Return the rounded layers, None where `change` was trained from another base."""
    from safetensors.torch import load_file

    if generator_digest(folder) != trained_from(change):
        return None
    changes = {name: tensor.numpy() for name, tensor in unpacked(load_file(str(change))).items()}
    base = FolderTensors(folder)
    parts: Arrays = {name: changes[name] for head in HEADS for name in (f"{head}.weight", f"{head}.bias")}
    for name, names in _JOINED:
        layers = [
            rounded(np.concatenate([_changed(base, changes, f"model.layers.{layer}.{part}") for part in names]))
            for layer in range(s.layers)
        ]
        parts[f"{name}.weights"], parts[f"{name}.factors"] = stacked(layers)
    words, parts["words.scales"] = in_bytes(base.plain(_EMBEDDING).reshape(s.vocabulary, -1, GROUP))
    parts["words"] = words.reshape(s.vocabulary, s.hidden)
    parts["norms"] = np.stack(
        [np.stack([changes[f"model.layers.{layer}.{norm}"] for norm in NORMS]) for layer in range(s.layers)]
    )
    parts["last_norm"] = changes[LAST_NORM]
    return parts


def _changed(base: FolderTensors, changes: Mapping[str, Floats], name: str) -> Floats:
    # `up` is kept with its outputs last, so that 64 of them share a scale.
    found: Floats = base.plain(f"{name}.weight") + changes[f"{name}.up"].T @ changes[f"{name}.down"]
    return found


def _key(folder: Path, change: Path) -> str:
    """Return a name for this change over this base; the folder's own name says which base it is."""
    return hashlib.sha256(f"{_FORM}:{folder.resolve()}:".encode() + change.read_bytes()).hexdigest()[:16]


def _read(path: Path) -> Arrays | None:
    """Return what was kept, None where nothing was or it is cut short."""
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


def _keep(parts: Arrays, path: Path) -> None:
    """Write the layers for later starts, all or nothing; a disk that is full or closed costs them the time, no more."""
    from safetensors.numpy import save_file

    work = path.with_name(f".{path.stem}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(parts, work)
        work.replace(path)
    except Exception as error:
        log.info("The reader's layers are not kept: %s", error)
    finally:
        with suppress(OSError):
            work.unlink(missing_ok=True)
    _clear_unused(path)


def _clear_unused(kept: Path) -> None:
    """Remove what earlier versions kept beside it and none has read for a month, and what writers that were killed left."""
    for pattern, seconds in (("reading-*.safetensors", _UNUSED_SECONDS), (".reading-*", _ABANDONED_SECONDS)):
        for path in kept.parent.glob(pattern):
            # Another process may be clearing up as well.
            with suppress(OSError):
                if path != kept and time.time() - path.stat().st_mtime > seconds:
                    path.unlink()
