"""One pass of a batch through the model: layers that are computed again in the backward pass, compiled or not, and the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from train.batching import Batch
from train.heads import head_of
from train.loss import answer_loss
from train.modelling import backbone_of, decoder_layers
from train.settings import MemorySettings

__all__ = ["LossModel", "prepare_layers"]


class LossModel(nn.Module):
    """A causal language model that returns the summed loss of a batch: what data parallelism wraps.

    The head is not called as a module, since its logits would all be held: its weight goes into the chunked loss.
    """

    def __init__(self, model: Any, dtype: torch.dtype, chunk_tokens: int) -> None:
        """Wrap `model`, whose layers compute in `dtype`."""
        super().__init__()
        self.model = model
        self._dtype = dtype
        self._chunk_tokens = chunk_tokens

    def forward(self, ids: Tensor, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss (nats) over the answers and how many of their tokens are the most likely ones."""
        with torch.autocast(ids.device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32):
            hidden = backbone_of(self.model)(input_ids=ids, use_cache=False).last_hidden_state
        states = hidden.flatten(0, 1).index_select(0, positions).to(self._dtype)
        # The head's product is in the type of the states whatever autocast would do.
        with torch.autocast(ids.device.type, enabled=False):
            return answer_loss(states, head_of(self.model).weight, labels, self._chunk_tokens)

    def loss_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return `forward` of a batch."""
        return self(batch.ids, batch.positions, batch.labels)  # type: ignore[no-any-return]


def prepare_layers(model: Any, memory: MemorySettings) -> None:
    """Let each decoder layer be computed again in the backward pass, and be compiled, as the settings say."""
    layers = decoder_layers(model)
    for index, layer in enumerate(layers):
        again = memory.checkpointing and index < len(layers) - memory.kept_layers
        layer.forward = _Layer(layer, again=again, compiled=memory.compile)


class _Layer:
    """The forward of one decoder layer, as a function of its own and, where its kind is known, a last product.

    The last product of the feed-forward part is a third of the layer's work. Where its weight stands still, its
    backward pass needs neither its input nor its output, so it stays outside of what is computed again.
    """

    _compiled: dict[Callable[..., Any], Callable[..., Any]] = {}  # noqa: RUF012

    def __init__(self, layer: Any, *, again: bool, compiled: bool) -> None:
        self._layer = layer
        self._split = _can_split(layer)
        self._again = again
        self._run = self._maybe_compiled(_up_to_last_product if self._split else _whole, compiled)

    def __call__(self, hidden_states: Tensor, **options: Any) -> Any:
        if self._again:
            made = checkpoint(self._run, self._layer, hidden_states, use_reentrant=False, **options)
        else:
            made = self._run(self._layer, hidden_states, **options)
        if not self._split:
            return made
        residual, inner = made
        return residual + self._layer.mlp.down_proj(inner)

    @classmethod
    def _maybe_compiled(cls, run: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
        # Compiled code is kept per function, so all layers of one kind share it.
        if compiled and run not in cls._compiled:
            cls._compiled[run] = torch.compile(run)
        return cls._compiled[run] if compiled else run


def _whole(layer: Any, hidden_states: Tensor, **options: Any) -> Any:
    return type(layer).forward(layer, hidden_states, **options)


def _up_to_last_product(layer: Any, hidden_states: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """Return the residual stream after attention and what goes into the last product, as the layers below spell it."""
    attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **options)
    residual = hidden_states + attended
    normed = layer.post_attention_layernorm(residual)
    return residual, layer.mlp.act_fn(layer.mlp.gate_proj(normed)) * layer.mlp.up_proj(normed)


def _can_split(layer: Any) -> bool:
    """Whether the layer is of the kind that `_up_to_last_product` spells, with a last product that stands still."""
    if type(layer).__name__ not in ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer"):
        return False
    return not any(parameter.requires_grad for parameter in layer.mlp.down_proj.parameters())
