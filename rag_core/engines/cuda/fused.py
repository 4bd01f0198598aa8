"""The operations of a forward pass by the kernels, on an NVIDIA card; wide passes multiply with torch's own library."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from rag_core.engines.cuda import kernels, products
from rag_core.engines.cuda.kernels import PART
from rag_core.engines.cuda.model import Operations
from rag_core.engines.cuda.plain import PlainOps
from rag_core.engines.cuda.products import ROWS
from rag_core.engines.cuda.weights import SPAN, Matrix, pack
from rag_core.engines.llama import LlamaSettings

__all__ = ["FusedOps"]

_EVERYWHERE = 1 << 30
# Bytes of weights that a product has fetched into the card's cache before the kernel ahead of it ends: twice as many take
# bandwidth from that kernel, and a quarter of the cache is a step slower than none.
_AHEAD_BYTES = 4 << 20
# Parts of an attention that are joined at a time: those of 4,096 positions.
_TOGETHER = 32
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
        # On an H200 at 7B, kernels launched early save 3 % of a step, and what they fetch ahead another 1 %.
        early = torch.cuda.get_device_capability(device) >= (9, 0) and _chains()
        self._chain: dict[str, Any] = {"CHAIN": True, "launch_pdl": True} if early else {"CHAIN": False}

    def try_out(self, four_bit: bool) -> None:
        """Hold every operation to the plain one on random numbers. Raises RuntimeError where they differ.

        Each is compiled at its first call, for a third of a second, so all are called beside one another.
        """
        trials = self._trials(four_bit)

        def tried(trial: Callable[[Operations], list[torch.Tensor]]) -> list[torch.Tensor]:
            with torch.inference_mode():
                return trial(self)

        with ThreadPoolExecutor(len(trials)) as pool:
            found = list(pool.map(tried, trials))
        for ours, trial in zip(found, trials, strict=True):
            for our, their in zip(ours, trial(self._plain), strict=True):
                error = float((our.float() - their.float()).norm() / their.float().norm())
                if not error < _TOLERANCE:
                    raise RuntimeError(f"the kernels' numbers are off by {error:.3f}")

    def _trials(self, four_bit: bool) -> list[Callable[[Operations], list[torch.Tensor]]]:
        """Return what to do by these operations and by the plain ones: all that serving does."""
        s, device, dtype = self.settings, self._cosine.device, self._cosine.dtype
        random = torch.Generator(device).manual_seed(0)

        def new(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random, device=device, dtype=dtype)

        length, most = len(self._cosine), ROWS + 4
        slots, positions = torch.tensor([[1, 0, 0], [length // 2, 0, -1]], device=device)
        of_one = torch.full((most,), 1, device=device), torch.arange(length - most, length, device=device)
        dense, norm = new(2 * PART, s.hidden) / s.hidden**0.5, new(s.hidden)
        matrix = pack(dense) if four_bit else Matrix(2 * PART, s.hidden, dense=dense)
        head = Matrix(2 * PART, s.hidden, dense=dense)
        qkv = new(most, (s.heads + 2 * s.key_value_heads) * s.head_size)
        caches = [new(2, s.key_value_heads, length, s.head_size) for _ in range(2)]
        x, residual = new(most, s.hidden), new(most, 2 * PART)

        def attention(do: Operations) -> list[torch.Tensor]:
            copied, keys, values = qkv[:3].clone(), caches[0].clone(), caches[1].clone()
            do.rotate(copied, keys, values, slots, positions)
            return [do.attend(copied, keys, values, slots, positions, length)[:2], keys, values]

        def attention_of_fresh(do: Operations) -> list[torch.Tensor]:
            copied, keys, values = qkv[:3].clone(), caches[0].clone(), caches[1].clone()
            return [do.attend(copied, keys, values, slots, positions, length, fresh=True)[:2], keys, values]

        def attention_of_one(do: Operations) -> list[torch.Tensor]:
            copied, keys, values = qkv.clone(), caches[0].clone(), caches[1].clone()
            do.rotate(copied, keys, values, *of_one)
            return [do.attend(copied, keys, values, *of_one, length, True), keys, values]

        def multiplied(rows: int) -> list[Callable[[Operations], list[torch.Tensor]]]:
            return [
                lambda do: [do.multiply(x[:rows], matrix, residual=residual[:rows].clone())],
                lambda do: [do.multiply(x[:rows], matrix, norm=norm)],
                lambda do: [do.gate(x[:rows], matrix, norm)],
                lambda do: [do.multiply(x[:rows], head)],
            ]

        counts = (ROWS // 2, ROWS, most)
        return [
            attention,
            attention_of_fresh,
            attention_of_one,
            *[trial for rows in counts for trial in multiplied(rows)],
        ]

    def normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See PlainOps."""
        y = torch.empty_like(x)
        width = _power(x.shape[1])
        kernels.normalise[(len(x),)](
            x,
            weight,
            y,
            x.shape[1],
            self.settings.epsilon,
            WIDTH=width,
            num_warps=8 if width > 2_048 else 4,
            **self._chain,
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
        # In place: torch would copy the residual first, for longer than a norm takes.
        return x @ weight if residual is None else residual.addmm_(x, weight)

    def gate(self, x: torch.Tensor, matrix: Matrix, norm: torch.Tensor) -> torch.Tensor:
        """See PlainOps."""
        if len(x) <= ROWS:
            return self._narrow(self.normalise(x, norm), matrix, None, gated=True)
        both = self.multiply(x, matrix, norm=norm)
        half = matrix.outputs // 2
        y = torch.empty(len(x), half, dtype=x.dtype, device=x.device)
        kernels.gate_wide[(len(x), -(-half // 1_024))](both, y, half, WIDTH=1_024, **self._chain)
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
            enable_fp_fusion=False, **self._chain,
        )  # fmt: skip

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
        """See PlainOps."""
        s, rows, parts = self.settings, len(qkv), -(-reach // PART)
        found = torch.empty(rows, s.heads, parts, s.head_size, dtype=torch.float32, device=qkv.device)
        tops = torch.empty(rows, s.heads, parts, dtype=torch.float32, device=qkv.device)
        sums = torch.empty_like(tops)
        sharing = s.heads // s.key_value_heads
        group = max(1, 16 // sharing) if together and rows > 1 else 1
        if fresh and group > 1:
            raise ValueError("rows of one chat read each other's keys, which must be in the cache before")
        kernels.attend[(-(-rows // group), s.key_value_heads, parts)](
            qkv, keys, values, self._cosine, self._sine, slots, positions, found, tops, sums, keys.shape[2],
            s.head_size**-0.5, s.window or _EVERYWHERE, rows, parts,
            HEADS=s.heads, KEPT=s.key_value_heads, HEAD=s.head_size, TALL=max(16, _power(group * sharing)), PART_=PART,
            GROUP=group, FRESH=fresh, num_warps=4,
            # As in `rotate`; and what a row gives must not depend on whether another kernel rotated it.
            enable_fp_fusion=False, **self._chain,
        )  # fmt: skip
        y = torch.empty(rows, s.heads * s.head_size, dtype=qkv.dtype, device=qkv.device)
        kernels.join[(rows, s.heads)](
            found, tops, sums, positions, y, parts,
            HEADS=s.heads, HEAD=s.head_size, TOGETHER=_TOGETHER, PART_=PART, num_warps=4, **self._chain,
        )  # fmt: skip
        return y

    def _narrow(self, x: torch.Tensor, matrix: Matrix, residual: torch.Tensor | None, *, gated: bool) -> torch.Tensor:
        made = matrix.outputs // 2 if gated else matrix.outputs
        y = torch.empty(len(x), made, dtype=x.dtype, device=x.device)
        packed = matrix.packed
        shape = tile(matrix, gated)
        step = SPAN if packed is not None else shape["DEEP"]
        spans = -(-matrix.inputs // step)
        products.multiply[(-(-made // shape["WIDE"]),)](
            x, matrix.dense if packed is None else packed.words, x if packed is None else packed.scales,
            x if residual is None else residual, y, len(x), matrix.outputs, matrix.inputs, spans,
            RESIDUAL=residual is not None, GATED=gated, PACKED=packed is not None,
            EVEN=matrix.inputs % (shape["SPLIT"] * step) == 0,
            TALL=ROWS if len(x) > ROWS // 2 else ROWS // 2, LINES=_lines(matrix, shape) if self._chain["CHAIN"] else 0,
            num_warps=shape["SPLIT"], **shape, **self._chain,
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
        products.unpack[(-(-matrix.outputs // 32), spans)](
            packed.words, packed.scales, y, matrix.outputs, matrix.inputs, spans, WIDE=32, **self._chain
        )
        return y


def tile(matrix: Matrix, gated: bool) -> dict[str, Any]:
    """Return outputs and inputs of a warp's tile, sections of the inputs, and how many tiles are under way or in use.

    The best of those tried on an H200 at 7B (`bench.gpu_kernels --sweep`): what has few outputs needs many warps.
    """
    if matrix.packed is not None:
        return {"WIDE": 32, "DEEP": 32, "SPLIT": 2 if gated else 4, "STAGES": 3}
    deep = next((size for size in (128, 64) if matrix.inputs % size == 0), 32)
    if gated:
        return {"WIDE": 64, "DEEP": deep, "SPLIT": 2, "STAGES": 3}
    few = matrix.outputs <= 4_096
    return {"WIDE": 16, "DEEP": deep, "SPLIT": 4 if few else 2, "STAGES": 3 if few else 4}


def _lines(matrix: Matrix, shape: dict[str, Any]) -> int:
    """Return how many lines of 128 bytes of each output's sections are fetched ahead: a power of 2, or none."""
    lines = _AHEAD_BYTES // (matrix.outputs * shape["SPLIT"] * 128)
    return 1 << (lines.bit_length() - 1) if lines else 0


def _chains() -> bool:
    """Whether this Triton can launch a kernel before the one ahead of it has ended."""
    try:
        from triton.backends.nvidia.compiler import CUDAOptions
        from triton.language.extra import cuda
    except ImportError:
        return False
    return hasattr(cuda, "gdc_wait") and "launch_pdl" in CUDAOptions.__dataclass_fields__


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()
