"""A lean forward pass for Llama-type models on a CPU.

The architecture is that of Touvron et al. 2023 (arXiv:2302.13971) with grouped-query attention (arXiv:2305.13245), the
numbers those of `LlamaForCausalLM` in float32 up to the order of summation. Weights stay in the form of their file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag_core.engines.jit import load_kernels
from rag_core.engines.team import team_of

__all__ = ["MOST_LOGITS", "MOST_ROWS", "LlamaModel", "LlamaSettings", "read_settings", "turns"]

# Tokens of one pass: long enough for full speed, short enough (0.3 s) to stop soon. Of a pass with logits: fewer, since
# only a draft needs more than one.
MOST_ROWS, MOST_LOGITS = 256, 12

Array = npt.NDArray[Any]

# The cache grows by so many positions at a time.
_CACHE_STEP = 1_024


@dataclass(frozen=True, slots=True)
class LlamaSettings:
    """The shape of a model. `heads` share `key_value_heads`; sizes count numbers.

    `window`: how many tokens back attention reaches (Mistral's sliding window), None where it reaches all.
    """

    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_size: int
    feed_forward: int
    vocabulary: int
    epsilon: float
    rope_theta: float
    tied: bool
    context_tokens: int
    window: int | None = None


def read_settings(folder: Path, *, windowed: bool = False) -> LlamaSettings | None:
    """Return the settings of the model in `folder`, None where a plain forward pass would not be exactly that model.

    `windowed`: take models with a sliding window too.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    generation = folder / "generation_config.json"
    sampling = json.loads(generation.read_text(encoding="utf-8")) if generation.is_file() else {}
    window = _window(config)
    if (
        not _plain(config)
        or not _greedy(sampling)
        or (window is not None and not windowed)
        or not any(folder.glob("*.safetensors"))
    ):
        return None
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    rope = config.get("rope_parameters") or {}
    settings = LlamaSettings(
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        heads=heads,
        key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_size=int(config.get("head_dim") or hidden // heads),
        feed_forward=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        tied=bool(config.get("tie_word_embeddings", False)),
        context_tokens=int(config.get("max_position_embeddings", 2_048)),
        window=window,
    )
    # Tiles are of 32 by 32; every model in use has such sizes.
    sizes = (settings.hidden, settings.head_size, settings.feed_forward)
    return settings if all(size % 32 == 0 for size in sizes) and heads % settings.key_value_heads == 0 else None


def _plain(config: dict[str, Any]) -> bool:
    """Whether nothing in the config asks for more than this module computes."""
    rope = {**(config.get("rope_parameters") or {}), **(config.get("rope_scaling") or {})}
    return (
        config.get("model_type") in ("llama", "mistral")
        and config.get("hidden_act", "silu") == "silu"
        and not config.get("attention_bias")
        and not config.get("mlp_bias")
        and not config.get("quantization_config")
        and rope.get("rope_type", rope.get("type", "default")) == "default"
        and float(rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))) == 1.0
    )


def _window(config: dict[str, Any]) -> int | None:
    """Return the sliding window, None where there is none or it is as long as the context."""
    window = config.get("sliding_window")
    return None if window is None or int(window) >= int(config.get("max_position_embeddings", 2_048)) else int(window)


def _greedy(sampling: dict[str, Any]) -> bool:
    """Whether greedy decoding under these settings is the plain largest logit."""
    return (
        (sampling.get("repetition_penalty") or 1.0) == 1.0
        and not sampling.get("no_repeat_ngram_size")
        and not sampling.get("suppress_tokens")
        and not sampling.get("begin_suppress_tokens")
        and not sampling.get("bad_words_ids")
        and not sampling.get("forced_bos_token_id")
        and (sampling.get("num_beams") or 1) == 1
    )


class LlamaModel:
    """Weights, and the keys and values of the tokens read so far. Not safe for two threads at once."""

    def __init__(self, folder: Path, settings: LlamaSettings, threads: int, cache: Path) -> None:
        """Read the weights; compiled kernels are kept under `cache`. Raises ModelLoadError."""
        from rag_core.engines.weights import read_weights

        self.settings = s = settings
        self._kernels = load_kernels(cache)
        self._weights = w = read_weights(folder, s)
        self._team = team_of(threads)
        self._table = np.array([[matrix.entry for matrix in layer] for layer in w.layers], dtype=np.int64)
        self._embedding = np.array(w.embedding.entry, dtype=np.int64)
        self._head = np.array(w.head.entry, dtype=np.int64)
        self._phases = s.layers * self._kernels.PHASES + 1
        self._keys = np.empty((s.layers, s.key_value_heads, 0, s.head_size, 32), dtype=np.float32)
        self._values = np.empty((s.layers, s.key_value_heads, s.head_size // 32, 0, 32), dtype=np.float32)
        self._turns = np.empty((0, s.head_size // 2, 2), dtype=np.float32)
        attended = s.heads * s.head_size
        self._shared = _rows_of(MOST_ROWS, s.hidden, attended, attended, s.feed_forward)
        self._logits = np.zeros((MOST_LOGITS, w.head.tiles * 32), dtype=np.float32)
        self._scratch = np.empty((s.hidden, 32), dtype=np.float32)
        self._own: list[tuple[Array, ...]] = []

    def reserve(self, tokens: int) -> None:
        """Make room in the cache for so many positions; what is cached stays."""
        have = self._values.shape[3]
        if tokens <= have:
            return
        s = self.settings
        room = -(-tokens // _CACHE_STEP) * _CACHE_STEP
        keys = np.zeros((s.layers, s.key_value_heads, room // 32, s.head_size, 32), dtype=np.float32)
        values = np.zeros((s.layers, s.key_value_heads, s.head_size // 32, room, 32), dtype=np.float32)
        keys[:, :, : have // 32] = self._keys
        values[:, :, :, :have] = self._values
        self._keys, self._values = keys, values
        self._turns = turns(room, s.head_size, s.rope_theta)
        self._own = [self._thread_buffers(room) for _ in range(self._team.size)]

    def _thread_buffers(self, room: int) -> tuple[Array, ...]:
        s = self.settings
        wide = max(s.heads * s.head_size, s.feed_forward)
        normed, sums, wide_sums = _rows_of(MOST_ROWS, s.hidden, s.hidden // 32, wide // 32)
        asked, scores = _rows_of(-(-self._kernels.TOKENS * s.heads // s.key_value_heads // 4) * 4, s.head_size, room)
        extra, other = _rows_of(max(MOST_ROWS, len(asked)), 32, 32)
        (unpacked,) = _rows_of(max(wide, s.hidden), 32)
        return normed, sums, wide_sums, asked, scores, extra, other, unpacked

    def forward(self, ids: Sequence[int], start: int, *, logits: bool) -> Array:
        """Read `ids` at positions `start` on, behind what is cached there, and cache them. Room must be reserved.

        Up to MOST_ROWS at once; with `logits` up to MOST_LOGITS. Returns the logits behind each id, float32
        (len(ids), vocabulary), valid until the next call; or (0, vocabulary).
        """
        kernels, s, w, real = self._kernels, self.settings, self._weights, len(ids)
        rows = 1 if real == 1 else -(-real // 4) * 4 if real <= MOST_LOGITS else -(-real // 8) * 8
        x, queries, attended, hidden = (buffer[:rows] for buffer in self._shared)
        kernels.embed(self._embedding, np.array(ids, dtype=np.int64), x[:real], self._scratch)
        x[real:] = attended[real:] = 0.0
        found = self._logits[: min(rows, MOST_LOGITS)]
        # A line of the processor's cache for each phase.
        counters = np.zeros((self._phases, 8), dtype=np.int64)
        shared = (
            np.float32(s.epsilon), self._table, w.norms, self._head, w.last_norm, counters, rows, real, start,
            int(logits), self._turns, self._keys, self._values, x, queries, attended, hidden, found,
        )  # fmt: skip

        def take_part(number: int) -> None:
            normed, sums, wide_sums, *others = self._own[number]
            kernels.forward(*shared, normed[:rows], sums[:rows], wide_sums[:rows], *others)

        self._team.run(take_part)
        return found[: real if logits else 0, : s.vocabulary]


def _rows_of(rows: int, *widths: int) -> list[Array]:
    return [np.zeros((rows, width), dtype=np.float32) for width in widths]


def turns(positions: int, size: int, theta: float) -> Array:
    """Return cosine and sine of every position and pair, float32 (positions, size / 2, 2).

    Computed in the precision and order of `transformers`, which differ from the true angle far into a text.
    """
    import torch

    frequencies = 1.0 / (theta ** (torch.arange(0, size, 2, dtype=torch.int64).float() / size))
    angles = torch.arange(positions).float()[:, None] * frequencies
    found: Array = torch.stack((angles.cos(), angles.sin()), dim=-1).numpy()
    return found
