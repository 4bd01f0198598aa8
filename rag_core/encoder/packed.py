"""An encoder's matrices as bytes, and the way from token ids to unit vectors or states on a CPU that multiplies bytes.

Weights are rounded to 8 bits in groups of 96 inputs, activations likewise as they come. Vectors of MiniLM then have a
cosine of 0.9996 with those of float32 on average, of 0.999 or more for texts of a sentence and longer, and of 0.9985 for
a text without words, at a sixth of the processor time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rag_core.encoder.bert import BertSettings, layer_names, too_long
from rag_core.encoder.pieces import Layout, Piecework, lay_out, run_pieces
from rag_core.encoder.rounding import rounded
from rag_core.encoder.shapes import TILE
from rag_core.engines.jit import ENCODING, compiled_before, load_kernels
from rag_core.records import Progress, ProgressCallback

if TYPE_CHECKING:
    import torch

__all__ = ["PackedEncoder", "multiplies_bytes", "packed_encoder"]

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]
# Weights int8 [layer, output / 32, input / 4, 32, 4], their factors (see `rag_core.encoder.dots.tile`), and the bias.
Matrix = tuple[npt.NDArray[np.int8], Floats, Floats]


def multiplies_bytes() -> bool:
    """Return whether this processor has AVX-512's products of bytes and the compiler for them is installed."""
    try:
        from llvmlite import binding

        return bool(binding.get_host_cpu_features().get("avx512vnni", False))
    except (ImportError, RuntimeError):
        return False


def packed_encoder(
    folder: Path,
    settings: BertSettings,
    cache: Path,
    changes: Mapping[str, torch.Tensor],
    on_progress: ProgressCallback | None = None,
) -> PackedEncoder | None:
    """Return the encoder in `folder` with `changes` added; None where processor, compiler or model are not made for it.

    Kernels are compiled, or loaded from where an earlier start kept them under `cache`.
    """
    if not multiplies_bytes():
        return None
    from safetensors.numpy import load_file

    if on_progress and not compiled_before(cache, ENCODING):
        on_progress(Progress("converting", detail="kernels for this processor, once"))
    try:
        weights = load_file(folder / "model.safetensors")
        plain = {name.removeprefix("bert."): value.astype(np.float32, copy=False) for name, value in weights.items()}
        for name, change in changes.items():
            plain[name] = plain[name] + change.numpy()
        return PackedEncoder(plain, settings, cache)
    except MemoryError:
        raise
    except Exception as error:
        # Shapes that do not divide, numbers of a kind that numpy lacks, no place for what is compiled: torch serves all.
        log.info("%s is computed without products of bytes: %s", folder.name, error)
        return None


class PackedEncoder:
    """Weights in memory, and the way from token ids to unit vectors. Thread-safe: nothing changes after `__init__`."""

    def __init__(self, weights: Mapping[str, Floats], settings: BertSettings, cache: Path) -> None:
        """Round the weights, named as in the model's file, and compile or load the kernels, kept under `cache`.

        Raises ValueError where the shapes do not divide into groups, KeyError where weights are missing.
        """
        self.settings = settings
        self._kernels = load_kernels(cache, ENCODING)
        self._words = weights["embeddings.word_embeddings.weight"]
        # The vector of segment 0 joins the place's; what segment 1 adds to that is kept apart.
        first, second = weights["embeddings.token_type_embeddings.weight"][:2]
        self._places = weights["embeddings.position_embeddings.weight"] + first
        self._second = second - first
        norm = "embeddings.LayerNorm"
        self._first_norm = np.stack([weights[f"{norm}.weight"], weights[f"{norm}.bias"]])
        names = [layer_names(number) for number in range(settings.layers)]
        if (self._words.shape[1] // settings.heads) % TILE:
            raise ValueError("The heads do not divide into tiles")
        self._matrices = [
            _stacked([_packed(weights, layer[part]) for layer in names]) for part in ("qkv", "back", "up", "down")
        ]
        self._norms = np.stack(
            [
                np.stack([weights[f"{name}.{kind}"] for name in layer["norms"] for kind in ("weight", "bias")])
                for layer in names
            ]
        )
        self.encode([[0]])  # compiles the kernels where they are not kept from an earlier start

    def encode(self, ids: Sequence[Sequence[int]], batch_size: int = 0) -> Floats:
        """Return unit vectors, float32 (len(ids), dimension), for token ids with their special tokens.

        Ids over `max_tokens` are refused with ValueError rather than dropped: to shorten is the caller's job.
        `batch_size` is of no account here: nothing is padded.
        """
        too_long(ids, self.settings.max_tokens)
        texts = lay_out(ids, len(self._words))
        vectors = np.empty((len(ids), self._words.shape[1]), dtype=np.float32)
        found = np.empty_like(vectors)
        self._run(texts, np.full(len(ids), len(texts.flat)), found, np.empty((0, self._words.shape[1]), np.float32))
        vectors[texts.order] = found
        return vectors

    def states(self, pairs: Sequence[tuple[Sequence[int], int]]) -> list[Floats]:
        """Return the last layer's states, float32 (tokens, dimension), of ids whose segment 1 starts at the given place.

        Ids over the positions that the model has are refused with ValueError.
        """
        ids = [row for row, _ in pairs]
        too_long(ids, len(self._places))
        texts = lay_out(ids, len(self._words))
        states = np.empty((len(texts.flat), self._words.shape[1]), dtype=np.float32)
        seconds = np.array([pairs[index][1] for index in texts.order], dtype=np.int64)
        self._run(texts, seconds, np.empty((0, self._words.shape[1]), np.float32), states)
        return texts.apart(states)

    def _run(self, texts: Layout, seconds: npt.NDArray[np.int64], vectors: Floats, states: Floats) -> None:
        """Fill `states` where it has rows, else `vectors`."""
        settings = self.settings

        def work(piecework: Piecework) -> None:
            self._kernels.encode_pieces(
                piecework.taken, piecework.done, piecework.pieces, texts.starts, texts.flat, seconds, self._words,
                self._places, self._second, self._first_norm, *self._matrices, self._norms, settings.heads,
                np.float32(settings.epsilon), settings.pooling == "cls", piecework.rows, piecework.longest, vectors,
                states,
            )  # fmt: skip

        run_pieces(texts.starts, work)


def _stacked(layers: Sequence[Matrix]) -> Matrix:
    weights, factors, biases = zip(*layers, strict=True)
    return np.stack(weights), np.stack(factors), np.stack(biases)


def _packed(weights: Mapping[str, Floats], names: Sequence[str]) -> Matrix:
    """Return the matrices of those names below one another, rounded to bytes."""
    matrix = np.concatenate([weights[f"{name}.weight"] for name in names])
    data, factors = rounded(matrix)
    bias = np.concatenate([weights[f"{name}.bias"] for name in names]).astype(np.float32)
    return data, factors, bias
