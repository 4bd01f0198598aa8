"""A lean float32 forward pass for Llama-type models on a CPU, on torch alone.

The architecture is that of Touvron et al. 2023 (arXiv:2302.13971) with grouped-query attention (arXiv:2305.13245), the
numbers those of `LlamaForCausalLM` up to the order of summation. What makes it quick where one token is computed at a
time: eleven operations a layer, matrices fused and laid out input-major (the faster one for 1 to 16 rows), the scale
of each norm folded into the matrix behind it, and rotary embedding as one complex product.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

__all__ = ["LlamaModel", "LlamaSettings", "read_settings"]

# The cache grows by so many positions at a time.
_CACHE_STEP = 1_024


@dataclass(frozen=True, slots=True)
class LlamaSettings:
    """The shape of a model. `heads` share `key_value_heads`; sizes count float32 numbers."""

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

    @property
    def parameters(self) -> int:
        """Number of weights."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.key_value_heads)
        layer = attention + 3 * self.hidden * self.feed_forward
        return self.layers * layer + self.hidden * self.vocabulary * (1 if self.tied else 2)


def read_settings(folder: Path) -> LlamaSettings | None:
    """Return the settings of the model in `folder`, None where this forward pass would not be exactly that model."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    generation = folder / "generation_config.json"
    sampling = json.loads(generation.read_text(encoding="utf-8")) if generation.is_file() else {}
    if not _plain(config) or not _greedy(sampling) or not any(folder.glob("*.safetensors")):
        return None
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    rope = config.get("rope_parameters") or {}
    return LlamaSettings(
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
    )


def _plain(config: dict[str, Any]) -> bool:
    """Whether nothing in the config asks for more than this module computes."""
    rope = {**(config.get("rope_parameters") or {}), **(config.get("rope_scaling") or {})}
    window = config.get("sliding_window")
    return (
        config.get("model_type") in ("llama", "mistral")
        and config.get("hidden_act", "silu") == "silu"
        and not config.get("attention_bias")
        and not config.get("mlp_bias")
        and not config.get("quantization_config")
        and rope.get("rope_type", rope.get("type", "default")) == "default"
        and float(rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))) == 1.0
        and (window is None or int(window) >= int(config.get("max_position_embeddings", 2_048)))
    )


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

    def __init__(self, folder: Path, settings: LlamaSettings) -> None:
        """Read and rearrange the weights; at its peak this takes one layer more than the model itself."""
        import torch

        self.settings = settings
        with torch.inference_mode():
            self._read_weights(_Tensors(folder))
        size = settings.head_size
        self._frequencies = 1.0 / (settings.rope_theta ** (torch.arange(0, size, 2, dtype=torch.int64).float() / size))
        self._turns = torch.empty(0, 1, size // 2, dtype=torch.complex64)
        self._cache = torch.empty(settings.layers, 2, settings.key_value_heads, 0, size)

    def _read_weights(self, tensors: _Tensors) -> None:
        import torch

        s = self.settings
        self._embedding = tensors.get("model.embed_tokens.weight", (s.vocabulary, s.hidden))
        head = self._embedding if s.tied else tensors.get("lm_head.weight", (s.vocabulary, s.hidden))
        # Row-major is the faster layout here, and it lets a tied head share the embedding's memory.
        self._head = head
        self._last_norm = tensors.get("model.norm.weight", (s.hidden,))
        self._layers: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []
        queries, keys = s.heads * s.head_size, s.key_value_heads * s.head_size
        for index in range(s.layers):
            at = f"model.layers.{index}."
            attention_norm = tensors.get(at + "input_layernorm.weight", (s.hidden,))
            feed_norm = tensors.get(at + "post_attention_layernorm.weight", (s.hidden,))
            q = _paired(tensors.get(at + "self_attn.q_proj.weight", (queries, s.hidden)), s.head_size)
            k = _paired(tensors.get(at + "self_attn.k_proj.weight", (keys, s.hidden)), s.head_size)
            v = tensors.get(at + "self_attn.v_proj.weight", (keys, s.hidden))
            gate = tensors.get(at + "mlp.gate_proj.weight", (s.feed_forward, s.hidden))
            up = tensors.get(at + "mlp.up_proj.weight", (s.feed_forward, s.hidden))
            self._layers.append(
                (
                    (torch.cat((q, k, v)) * attention_norm).t().contiguous(),
                    tensors.get(at + "self_attn.o_proj.weight", (s.hidden, queries)).t().contiguous(),
                    (torch.cat((gate, up)) * feed_norm).t().contiguous(),
                    tensors.get(at + "mlp.down_proj.weight", (s.hidden, s.feed_forward)).t().contiguous(),
                )
            )

    def reserve(self, tokens: int) -> None:
        """Make room in the cache for so many positions; what is cached stays."""
        import torch

        have = self._cache.shape[3]
        if tokens <= have:
            return
        s = self.settings
        room = min(-(-tokens // _CACHE_STEP) * _CACHE_STEP, max(tokens, s.context_tokens))
        cache = torch.empty(s.layers, 2, s.key_value_heads, room, s.head_size)
        cache[:, :, :, :have] = self._cache
        self._cache = cache
        angles = torch.arange(room).float()[:, None] * self._frequencies
        self._turns = torch.polar(torch.ones_like(angles), angles)[:, None]

    def forward(self, ids: Sequence[int], start: int, rows: int) -> torch.Tensor:
        """Read `ids` at positions `start` on, behind what is cached there, and cache them.

        Returns the logits behind each of the last `rows` ids, float32 (rows, vocabulary). Room must be reserved.
        """
        import torch

        with torch.inference_mode():
            return self._forward(torch.tensor(ids), start, rows)

    def _forward(self, ids: torch.Tensor, start: int, rows: int) -> torch.Tensor:
        from torch.nn.functional import linear, rms_norm, silu

        s = self.settings
        count, shape, width = len(ids), (s.hidden,), s.feed_forward
        turned = s.heads + s.key_value_heads
        turns = self._turns[start : start + count]
        mask = self._mask(count, start)
        x = self._embedding[ids]
        for (qkv_weight, out_weight, gate_up, down), cache in zip(self._layers, self._cache, strict=True):
            qkv = rms_norm(x, shape, None, s.epsilon) @ qkv_weight
            _complex(qkv[:, : turned * s.head_size].view(count, turned, -1, 2)).mul_(turns)
            attended = self._attend(qkv, cache, start, mask)
            x = x.addmm_(attended, out_weight)
            gated = rms_norm(x, shape, None, s.epsilon) @ gate_up
            x = x.addmm_(silu(gated[:, :width]).mul_(gated[:, width:]), down)
        return linear(rms_norm(x[count - rows :], shape, self._last_norm, s.epsilon), self._head)

    def _attend(self, qkv: torch.Tensor, cache: torch.Tensor, start: int, mask: torch.Tensor | None) -> torch.Tensor:
        """Return (count, heads * head_size). Heads that share keys are rows of one product, so no key is copied."""
        from torch.nn.functional import scaled_dot_product_attention

        s = self.settings
        count, shared, size = qkv.shape[0], s.key_value_heads, s.head_size
        end = start + count
        cache[:, :, start:end] = qkv[:, s.heads * size :].view(count, 2, shared, size).permute(1, 2, 0, 3)
        queries = (
            qkv[:, : s.heads * size].view(count, shared, -1, size).permute(1, 2, 0, 3).reshape(1, shared, -1, size)
        )
        out = scaled_dot_product_attention(queries, cache[None, 0, :, :end], cache[None, 1, :, :end], attn_mask=mask)
        return out.view(shared, -1, count, size).permute(2, 0, 1, 3).reshape(count, s.heads * size)

    def _mask(self, count: int, start: int) -> torch.Tensor | None:
        """Return what is added to the scores, (heads that share * count, start + count); None for a single token."""
        import torch

        if count == 1:
            return None
        mask = torch.full((count, start + count), float("-inf")).triu_(start + 1)
        return mask.repeat(self.settings.heads // self.settings.key_value_heads, 1)


def _complex(pairs: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.view_as_complex(pairs)


def _paired(weight: torch.Tensor, size: int) -> torch.Tensor:
    """Reorder each head's rows so that the two numbers that rotate together (i and i + size / 2) are neighbours.

    Queries and keys are reordered alike, so their products stay what they are.
    """
    rows, columns = weight.shape
    return weight.view(-1, 2, size // 2, columns).transpose(1, 2).reshape(rows, columns)


class _Tensors:
    """The tensors of all safetensors files of a folder, read one at a time."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self._folder = folder
        self._where: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            self._where.update(dict.fromkeys(file.keys(), file))

    def get(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return one tensor in float32. Raises ModelLoadError where it is absent or of another shape."""
        if name not in self._where:
            raise ModelLoadError(f"{self._folder.name} lacks the weight {name}; download or convert the model again")
        tensor: torch.Tensor = self._where[name].get_tensor(name).float()
        if tuple(tensor.shape) != shape:
            raise ModelLoadError(
                f"{name} in {self._folder.name} is {tuple(tensor.shape)}, config.json says {shape}; download it again"
            )
        return tensor
