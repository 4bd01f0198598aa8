"""The forward pass of a Llama-type model over slots: one static cache for many chats, rows of any of them in a pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch.nn import functional

from rag_core.engines.cuda.plain import read_prompt
from rag_core.engines.cuda.weights import Layer, Matrix, Weights
from rag_core.engines.llama import LlamaSettings

__all__ = ["Operations", "SlotModel", "slot_bytes"]


class Operations(Protocol):
    """What `rag_core.engines.cuda.plain.PlainOps` documents, by whatever means."""

    steady_rows: int

    def normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor: ...  # noqa: D102

    def multiply(  # noqa: D102
        self,
        x: torch.Tensor,
        matrix: Matrix,
        *,
        norm: torch.Tensor | None = None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor: ...

    def gate(self, x: torch.Tensor, matrix: Matrix, norm: torch.Tensor) -> torch.Tensor: ...  # noqa: D102

    def rotate(  # noqa: D102
        self, qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor, positions: torch.Tensor
    ) -> None: ...

    def attend(  # noqa: D102
        self,
        qkv: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        slots: torch.Tensor,
        positions: torch.Tensor,
        reach: int,
        together: bool = False,
        fresh: bool = False,
    ) -> torch.Tensor: ...


def slot_bytes(settings: LlamaSettings, length: int, dtype: torch.dtype) -> int:
    """Return the memory of one chat's keys and values in bytes."""
    return 2 * settings.layers * settings.key_value_heads * settings.head_size * length * dtype.itemsize


class SlotModel:
    """Weights and the keys and values of `slots` chats of at most `length` tokens each. For one thread at a time."""

    def __init__(
        self, weights: Weights, settings: LlamaSettings, operations: Operations, *, slots: int, length: int
    ) -> None:
        """Take the memory for the cache. Raises torch's own error where there is none."""
        self.weights, self.settings, self.operations = weights, settings, operations
        self.slots, self.length = slots, length
        shape = (2, settings.layers, slots, settings.key_value_heads, length, settings.head_size)
        # Zeros, since a product of no weight with what memory held before could still be no number.
        self._cache = torch.zeros(shape, dtype=weights.embedding.dtype, device=weights.embedding.device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.weights.embedding.device

    def read(self, ids: torch.Tensor, slot: int, start: int) -> torch.Tensor:
        """Read tokens (T) of one chat from position `start` on; return the logits (1, vocabulary) after the last."""
        end = start + len(ids)
        positions = torch.arange(start, end, device=ids.device)
        slots = torch.full_like(positions, slot)
        s = self.settings

        def attend(qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            self.operations.rotate(qkv, keys, values, slots, positions)
            queries = qkv.view(len(qkv), -1, s.head_size)[:, : s.heads]
            return read_prompt(queries[-asking:], keys[slot, :, :end], values[slot, :, :end], s.window)

        x = functional.embedding(ids, self.weights.embedding)
        for number, layer in enumerate(self.weights.layers):
            # Of the last layer only the last token's outcome is wanted; of the others, their keys and values.
            asking = 1 if number == s.layers - 1 else len(ids)
            x = self._layer(x, layer, number, attend)
        return self._logits(x)

    def step(
        self,
        ids: torch.Tensor,
        slots: torch.Tensor,
        positions: torch.Tensor,
        reach: int,
        *,
        together: bool = False,
        apart: bool = False,
    ) -> torch.Tensor:
        """Read rows (T) of any chats, all below position `reach`; return the logits (T, vocabulary) after each.

        `together`: the rows are all of one chat, idle ones last. `apart`: each is of a chat of its own.
        """

        def attend(qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            if not apart:
                self.operations.rotate(qkv, keys, values, slots, positions)
            return self.operations.attend(qkv, keys, values, slots, positions, reach, together, apart)

        x = functional.embedding(ids, self.weights.embedding)
        for number, layer in enumerate(self.weights.layers):
            x = self._layer(x, layer, number, attend)
        return self._logits(x)

    def copy_start(self, source: int, target: int, count: int) -> None:
        """Give a chat the first `count` tokens of another."""
        self._cache[:, :, target, :, :count] = self._cache[:, :, source, :, :count]

    def _layer(
        self,
        x: torch.Tensor,
        layer: Layer,
        number: int,
        attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        keys, values = self._cache[0, number], self._cache[1, number]
        do = self.operations
        qkv = do.multiply(x, layer.qkv, norm=layer.first_norm)
        found = attend(qkv, keys, values)
        x = do.multiply(found, layer.out, residual=x[-len(found) :])
        return do.multiply(do.gate(x, layer.gate_up, layer.second_norm), layer.down, residual=x)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.operations.multiply(x, self.weights.head, norm=self.weights.last_norm)
