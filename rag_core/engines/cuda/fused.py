"""The operations of a forward pass by the kernels, on an NVIDIA card; wide passes multiply with torch's own library."""

from __future__ import annotations

from typing import Any

import torch

from rag_core.engines.cuda import kernels
from rag_core.engines.cuda.kernels import PART, ROWS
from rag_core.engines.cuda.plain import PlainOps
from rag_core.engines.cuda.weights import SPAN, Matrix
from rag_core.engines.llama import LlamaSettings

__all__ = ["FusedOps"]

_EVERYWHERE = 1 << 30


class FusedOps:
    """As `PlainOps`, for 16-bit types. Up to `steady_rows` rows, a row's numbers do not depend on the others."""

    steady_rows = ROWS

    def __init__(self, settings: LlamaSettings, length: int, device: torch.device, dtype: torch.dtype) -> None:
        """Compute the tables of angles for `length` positions."""
        plain = PlainOps(settings, length, device, dtype)
        self.settings = settings
        self._cosine, self._sine = plain.cosine, plain.sine
        self._whole: torch.Tensor | None = None

    def try_out(self) -> None:
        """Run one kernel. Raises whatever stands in the way of running any."""
        x = torch.ones(1, self.settings.hidden, dtype=self._cosine.dtype, device=self._cosine.device)
        self.normalise(x, x[0]).sum().item()

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
        if len(x) <= ROWS:
            return self._narrow(x, matrix, norm, residual, gated=False)
        if norm is not None:
            x = self.normalise(x, norm)
        weight = self._dense(matrix, x.dtype).T
        return x @ weight if residual is None else torch.addmm(residual, x, weight)

    def gate(self, x: torch.Tensor, matrix: Matrix, norm: torch.Tensor) -> torch.Tensor:
        """See PlainOps."""
        if len(x) <= ROWS:
            return self._narrow(x, matrix, norm, None, gated=True)
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

    def _narrow(
        self,
        x: torch.Tensor,
        matrix: Matrix,
        norm: torch.Tensor | None,
        residual: torch.Tensor | None,
        *,
        gated: bool,
    ) -> torch.Tensor:
        made = matrix.outputs // 2 if gated else matrix.outputs
        y = torch.empty(len(x), made, dtype=x.dtype, device=x.device)
        packed = matrix.packed
        shape = tile(matrix, gated)
        weights = matrix.dense if packed is None else packed.words
        scale, offset = (x, x) if packed is None else (packed.scale, packed.offset)
        kernels.multiply[(-(-made // shape["WIDE"]),)](
            x, x if norm is None else norm, weights, scale, offset, x if residual is None else residual, y,
            len(x), matrix.outputs, matrix.inputs, -(-matrix.inputs // SPAN), self.settings.epsilon,
            NORM=norm is not None, RESIDUAL=residual is not None, GATED=gated, PACKED=packed is not None,
            EVEN=matrix.inputs % SPAN == 0, TALL=ROWS, **shape,
        )  # fmt: skip
        return y

    def _dense(self, matrix: Matrix, dtype: torch.dtype) -> torch.Tensor:
        """Return the whole weights; those of four bits in memory that the next call uses again."""
        if matrix.packed is None:
            return matrix.whole(dtype)
        size = matrix.outputs * matrix.inputs
        if self._whole is None or self._whole.numel() < size:
            self._whole = torch.empty(size, dtype=dtype, device=matrix.packed.words.device)
        y = self._whole[:size].view(matrix.outputs, matrix.inputs)
        spans = -(-matrix.inputs // SPAN)
        kernels.unpack[(-(-matrix.outputs // 32), spans)](
            matrix.packed.words,
            matrix.packed.scale,
            matrix.packed.offset,
            y,
            matrix.outputs,
            matrix.inputs,
            spans,
            WIDE=32,
        )
        return y


def tile(matrix: Matrix, gated: bool) -> dict[str, Any]:
    """Return outputs and inputs of a program's tile, its warps, and how many tiles are on their way at once."""
    if matrix.packed is not None:
        return {"WIDE": 32, "DEEP": 32, "STAGES": 3, "num_warps": 4}
    deep = next(size for size in (256, 128, 64, 32) if matrix.inputs % size == 0)
    return {"WIDE": 16, "DEEP": deep, "STAGES": 4, "num_warps": 2}


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()
