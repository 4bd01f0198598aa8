"""The operations of a forward pass by the kernels, on an NVIDIA card; wide passes multiply with torch's own library."""

from __future__ import annotations

from typing import Any

import torch

from rag_core.engines.cuda import kernels
from rag_core.engines.cuda.kernels import PART, ROWS
from rag_core.engines.cuda.plain import PlainOps
from rag_core.engines.cuda.weights import SPAN, Matrix, pack
from rag_core.engines.llama import LlamaSettings

__all__ = ["FusedOps"]

_EVERYWHERE = 1 << 30
# Largest difference from plain torch that rounding explains, as a share of the numbers' size.
_TOLERANCE = 0.02


class FusedOps:
    """As `PlainOps`, for 16-bit types. Up to `steady_rows` rows, a row's numbers do not depend on the others."""

    steady_rows = ROWS

    def __init__(self, settings: LlamaSettings, length: int, device: torch.device, dtype: torch.dtype) -> None:
        """Compute the tables of angles for `length` positions."""
        self._plain = PlainOps(settings, length, device, dtype)
        self.settings = settings
        self._cosine, self._sine = self._plain.cosine, self._plain.sine
        self._whole: torch.Tensor | None = None

    def try_out(self, four_bit: bool) -> None:
        """Hold every operation to the plain one on random numbers. Raises RuntimeError where they differ."""
        s, plain = self.settings, self._plain
        device, dtype = plain.cosine.device, plain.cosine.dtype
        random = torch.Generator(device).manual_seed(0)

        def new(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random, device=device, dtype=dtype)

        length = len(plain.cosine)
        slots, positions = torch.tensor([[1, 0, 0], [length // 2, 0, -1]], device=device)
        dense, norm = new(2 * PART, s.hidden) / s.hidden**0.5, new(s.hidden)
        matrix = pack(dense) if four_bit else Matrix(2 * PART, s.hidden, dense=dense)
        qkv = new(3, (s.heads + 2 * s.key_value_heads) * s.head_size)
        caches = [new(2, s.key_value_heads, length, s.head_size) for _ in range(2)]
        x, residual = new(3, s.hidden), new(3, 2 * PART)
        found = []
        for each in (self, plain):
            copied, keys, values = qkv.clone(), caches[0].clone(), caches[1].clone()
            each.rotate(copied, keys, values, slots, positions)
            parts = [each.attend(copied, keys, values, slots, positions, length)[:2], keys, values]
            parts += [each.multiply(x, matrix, residual=residual), each.multiply(x, matrix, norm=norm)]
            parts += [each.gate(x, matrix, norm)]
            found.append([part.float() for part in parts])
        error = max(float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(*found, strict=True))
        if not error < _TOLERANCE:
            raise RuntimeError(f"the kernels' numbers are off by {error:.3f}")

    def normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See PlainOps."""
        y = torch.empty_like(x)
        width = _power(x.shape[1])
        kernels.normalise[(len(x),)](
            x, weight, y, x.shape[1], self.settings.epsilon, WIDTH=width, num_warps=8 if width > 2_048 else 4
        )
        return y

    def multiply(
        self,
        x: torch.Tensor,
        matrix: Matrix,
        *,
        norm: torch.Tensor | None = None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See PlainOps."""
        if norm is not None:
            x = self.normalise(x, norm)
        if len(x) <= ROWS:
            return self._narrow(x, matrix, residual, gated=False)
        weight = self._dense(matrix, x.dtype).T
        return x @ weight if residual is None else torch.addmm(residual, x, weight)

    def gate(self, x: torch.Tensor, matrix: Matrix, norm: torch.Tensor) -> torch.Tensor:
        """See PlainOps."""
        if len(x) <= ROWS:
            return self._narrow(self.normalise(x, norm), matrix, None, gated=True)
        both = self.multiply(x, matrix, norm=norm)
        half = matrix.outputs // 2
        y = torch.empty(len(x), half, dtype=x.dtype, device=x.device)
        kernels.gate_wide[(len(x), -(-half // 1_024))](both, y, half, WIDTH=1_024)
        return y

    def rotate(
        self, qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor, positions: torch.Tensor
    ) -> None:
        """See PlainOps."""
        s = self.settings
        share = 4 if len(qkv) <= ROWS else 16
        grid = (len(qkv), -(-(s.heads + 2 * s.key_value_heads) // share))
        kernels.rotate[grid](
            qkv, keys, values, self._cosine, self._sine, slots, positions, keys.shape[2],
            HEADS=s.heads, KEPT=s.key_value_heads, HEAD=s.head_size, SHARE=share, num_warps=1 if share == 4 else 4,
            # A product that is rounded must not become part of a fused multiply-add, which does not round it.
            enable_fp_fusion=False,
        )  # fmt: skip

    def attend(
        self,
        qkv: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        slots: torch.Tensor,
        positions: torch.Tensor,
        reach: int,
    ) -> torch.Tensor:
        """See PlainOps."""
        s, rows, parts = self.settings, len(qkv), -(-reach // PART)
        found = torch.empty(rows, s.heads, parts, s.head_size, dtype=torch.float32, device=qkv.device)
        tops = torch.empty(rows, s.heads, parts, dtype=torch.float32, device=qkv.device)
        sums = torch.empty_like(tops)
        tall = max(16, _power(s.heads // s.key_value_heads))
        kernels.attend[(rows, s.key_value_heads, parts)](
            qkv, keys, values, slots, positions, found, tops, sums, keys.shape[2], s.head_size**-0.5,
            s.window or _EVERYWHERE, parts,
            HEADS=s.heads, KEPT=s.key_value_heads, HEAD=s.head_size, TALL=tall, PART_=PART, num_warps=4,
        )  # fmt: skip
        y = torch.empty(rows, s.heads * s.head_size, dtype=qkv.dtype, device=qkv.device)
        kernels.join[(rows, s.heads)](
            found, tops, sums, positions, y, parts,
            HEADS=s.heads, HEAD=s.head_size, TOGETHER=16, PART_=PART, num_warps=4,
        )  # fmt: skip
        return y

    def _narrow(self, x: torch.Tensor, matrix: Matrix, residual: torch.Tensor | None, *, gated: bool) -> torch.Tensor:
        made = matrix.outputs // 2 if gated else matrix.outputs
        y = torch.empty(len(x), made, dtype=x.dtype, device=x.device)
        packed = matrix.packed
        shape = tile(matrix, gated)
        kernels.multiply[(-(-made // shape["WIDE"]),)](
            x, matrix.dense if packed is None else packed.words, x if packed is None else packed.scales,
            x if residual is None else residual, y, len(x), matrix.outputs, matrix.inputs, -(-matrix.inputs // SPAN),
            RESIDUAL=residual is not None, GATED=gated, PACKED=packed is not None, EVEN=matrix.inputs % SPAN == 0,
            TALL=ROWS, **shape,
        )  # fmt: skip
        return y

    def _dense(self, matrix: Matrix, dtype: torch.dtype) -> torch.Tensor:
        """Return the whole weights; those of four bits in memory that the next call uses again."""
        if matrix.packed is None:
            return matrix.whole(dtype)
        size, packed = matrix.outputs * matrix.inputs, matrix.packed
        if self._whole is None or self._whole.numel() < size:
            self._whole = torch.empty(size, dtype=dtype, device=packed.words.device)
        y = self._whole[:size].view(matrix.outputs, matrix.inputs)
        spans = -(-matrix.inputs // SPAN)
        kernels.unpack[(-(-matrix.outputs // 32), spans)](
            packed.words, packed.scales, y, matrix.outputs, matrix.inputs, spans, WIDE=32
        )
        return y


def tile(matrix: Matrix, gated: bool) -> dict[str, Any]:
    """Return outputs and inputs of a program's tile, its warps, and how many tiles are on their way at once."""
    if matrix.packed is not None:
        return {"WIDE": 32, "DEEP": 32, "STAGES": 3, "num_warps": 4}
    deep = next(size for size in (256, 128, 64, 32) if matrix.inputs % size == 0)
    # Measured on an H200 at 7B: what has few outputs needs small tiles to keep all processors busy.
    if matrix.outputs > 4_096:
        return {"WIDE": 32, "DEEP": deep, "STAGES": 3, "num_warps": 4}
    return {"WIDE": 16, "DEEP": deep, "STAGES": 5, "num_warps": 2}


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()
