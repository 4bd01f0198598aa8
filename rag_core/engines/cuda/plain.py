"""The operations of a forward pass in plain torch: for any card and any processor, and what the kernels are held to.

Everywhere T is the number of rows; a row is one token with the slot of its chat and its position there. A position
below zero marks a row that only fills up the batch: it is computed and changes nothing. Row 0 is never such.
"""

from __future__ import annotations

import torch
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from rag_core.engines.cuda.weights import Matrix
from rag_core.engines.llama import LlamaSettings

__all__ = ["PlainOps", "read_prompt"]


class PlainOps:
    """Rotary embedding (Su et al. 2021, arXiv:2104.09864) after `transformers`' rounding, so that tokens agree."""

    # Rows up to which a row's numbers are the same whatever the others are; here nothing promises that.
    steady_rows = 1

    def __init__(self, settings: LlamaSettings, length: int, device: torch.device, dtype: torch.dtype) -> None:
        """Compute the tables of angles for `length` positions."""
        self.settings = settings
        s = settings
        exponents = torch.arange(0, s.head_size, 2, dtype=torch.int64).float() / s.head_size
        angles = torch.outer(torch.arange(length).float(), 1.0 / (s.rope_theta**exponents))
        # Tables (length, head / 2), rounded as the activations are.
        self.cosine, self.sine = (table.to(dtype).to(device) for table in (angles.cos(), angles.sin()))

    def normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Root-mean-square norm of each row of x (T, hidden)."""
        whole = x.float()
        scaled = whole * torch.rsqrt(whole.square().mean(-1, keepdim=True) + self.settings.epsilon)
        return weight * scaled.to(x.dtype)

    def multiply(
        self,
        x: torch.Tensor,
        matrix: Matrix,
        *,
        norm: torch.Tensor | None = None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return x (T, inputs), normalised first if there is a norm, times the matrix, plus the residual: (T, outputs).

        What is in `residual` may be overwritten.
        """
        if norm is not None:
            x = self.normalise(x, norm)
        weight = matrix.whole(x.dtype).T
        return x @ weight if residual is None else residual.addmm_(x, weight)

    def gate(self, x: torch.Tensor, matrix: Matrix, norm: torch.Tensor) -> torch.Tensor:
        """Return silu(gate) * up of the normalised x, of a matrix with both: (T, outputs / 2)."""
        both = self.multiply(x, matrix, norm=norm)
        return functional.silu(both[:, : matrix.outputs // 2]) * both[:, matrix.outputs // 2 :]

    def rotate(
        self, qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor, positions: torch.Tensor
    ) -> None:
        """Rotate the queries of qkv (T, (heads + 2 kept) * head) in place; put keys and values into a layer's cache.

        `keys` and `values` are (slots, kept, length, head).
        """
        s = self.settings
        turned = qkv.view(len(qkv), -1, s.head_size)[:, : s.heads + s.key_value_heads]
        place = positions.clamp(min=0)
        cosine, sine = (table[place].unsqueeze(1) for table in (self.cosine, self.sine))
        half = s.head_size // 2
        first, second = turned[..., :half], turned[..., half:]
        rotated = torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)
        turned.copy_(rotated)
        # Rows that only fill up repeat what row 0 does: an index of varying length could not be recorded in a graph.
        idle = positions < 0
        slots, place = torch.where(idle, slots[0], slots), torch.where(idle, place[0], place)
        kept = qkv.view(len(qkv), -1, s.head_size)[:, s.heads :]
        kept = torch.where(idle.view(-1, 1, 1), kept[:1], kept)
        keys[slots, :, place] = kept[:, : s.key_value_heads]
        values[slots, :, place] = kept[:, s.key_value_heads :]

    def attend(
        self,
        qkv: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        slots: torch.Tensor,
        positions: torch.Tensor,
        reach: int,
        together: bool = False,
        fresh: bool = False,
    ) -> torch.Tensor:
        """Return the attention of each row to its chat up to its position, all below `reach`: (T, heads * head).

        `together`: all rows are of one chat, idle ones last, so that its keys need to be read only once.
        `fresh`: each row is a chat of its own, and `rotate` is still to be done for all.
        """
        if fresh:
            self.rotate(qkv, keys, values, slots, positions)
        s = self.settings
        queries = qkv.view(len(qkv), -1, s.head_size)[:, : s.heads].unsqueeze(2)
        places = torch.arange(reach, device=qkv.device).view(1, -1)
        mask = places <= positions.clamp(min=0).view(-1, 1)
        if s.window is not None:
            mask &= places > positions.view(-1, 1) - s.window
        slots = slots.clamp(max=len(keys) - 1)
        found = functional.scaled_dot_product_attention(
            queries, keys[slots, :, :reach], values[slots, :, :reach], mask.view(len(qkv), 1, 1, -1), enable_gqa=True
        )
        return found.reshape(len(qkv), -1)


def read_prompt(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, window: int | None) -> torch.Tensor:
    """Attention of T new tokens (T, heads, head) to all that their chat has (kept, end, head), themselves last.

    Returns (T, heads * head).
    """
    count, end = len(queries), keys.shape[1]
    mask: torch.Tensor | None
    if window is not None and end > window:
        at = torch.arange(end - count, end, device=keys.device).view(-1, 1)
        places = torch.arange(end, device=keys.device).view(1, -1)
        mask = (places <= at) & (places > at - window)
    else:
        mask = causal_lower_right(count, end)
    found = functional.scaled_dot_product_attention(
        queries.transpose(0, 1).unsqueeze(0), keys.unsqueeze(0), values.unsqueeze(0), mask, enable_gqa=True
    )
    return found[0].transpose(0, 1).reshape(count, -1)
