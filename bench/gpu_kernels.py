"""How near the kernels come to the card's memory: every product of a Mistral-7B layer, alone, by tile.

`python -m bench.gpu_kernels [--sweep] [--out bench/results]` times each matrix product of one token, whole and in four
bits, as replayed recordings over weights that no cache holds, and prints TB/s beside those of a plain copy; `--sweep`
tries other tiles. The figures go into gpu.json under "products".
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.gpu import ROOT, limits
from rag_core.engines.cuda import fused
from rag_core.engines.cuda.weights import Matrix, pack
from rag_core.engines.llama import LlamaSettings

# Outputs and inputs; the gate is of two matrices in one.
SHAPES = {
    "queries, keys, values": (6_144, 4_096),
    "attention's output": (4_096, 4_096),
    "gate and up": (28_672, 4_096),
    "down": (4_096, 14_336),
    "head": (32_000, 4_096),
}
# Outputs, inputs, sections, stages: see `fused.tile`.
_TILES = [(16, 128, 2, 4), (16, 128, 4, 3), (16, 256, 2, 3), (32, 128, 2, 5), (64, 128, 2, 3), (64, 64, 2, 4)]
_PACKED_TILES = [(32, 32, 2, 3), (32, 32, 4, 3), (32, 32, 4, 2), (16, 32, 4, 2), (16, 32, 8, 2), (64, 32, 4, 2)]
_BYTES = 400_000_000


def replayed(work: Callable[[], Any]) -> float:
    """Return the seconds of `work` when its kernels are replayed one behind the other, the best of three."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        work()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(3):
                work()
        graph.replay()
        times: list[float] = []
        for _ in range(3):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / 3_000)
    return min(times)


def product(operations: fused.FusedOps, name: str, four_bit: bool, rows: int) -> dict[str, float]:
    """Return microseconds and TB/s of one product over `rows` rows."""
    outputs, inputs = SHAPES[name]
    size = outputs * inputs * (0.5625 if four_bit else 2)

    def made() -> Matrix:
        tensor = torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16) / 64
        return pack(tensor) if four_bit else Matrix(outputs, inputs, dense=tensor)

    matrices = [made() for _ in range(max(2, int(_BYTES / size)))]
    x = torch.randn(rows, inputs, device="cuda", dtype=torch.bfloat16)
    gated = name == "gate and up"
    residual = torch.randn(rows, outputs, device="cuda", dtype=torch.bfloat16) if inputs != 4_096 else None

    def work() -> None:
        for matrix in matrices:
            operations._narrow(x, matrix, residual, gated=gated)

    taken = replayed(work) / len(matrices)
    return {"us": round(taken * 1e6, 1), "TB/s": round(size / taken / 1e12, 2)}


def _always(tile: tuple[int, ...], matrix: Matrix, gated: bool) -> dict[str, Any]:
    return dict(zip(("WIDE", "DEEP", "SPLIT", "STAGES"), tile, strict=True))


def measure(sweep: bool) -> dict[str, dict[str, Any]]:
    """Return for each product its figures at one row and at 16, and with other tiles if asked for."""
    settings = LlamaSettings(1, 4_096, 32, 8, 128, 14_336, 32_000, 1e-5, 1e4, False, 1_024)
    chosen = fused.tile
    found: dict[str, dict[str, Any]] = {}
    for four_bit in (False, True):
        operations = fused.FusedOps(settings, 1_024, torch.device("cuda"), torch.bfloat16)
        for name in SHAPES:
            if four_bit and name == "head":
                continue
            row: dict[str, Any] = {"1": product(operations, name, four_bit, 1)}
            row["16"] = product(operations, name, four_bit, 16)
            for tile in (_PACKED_TILES if four_bit else _TILES) if sweep else []:
                fused.tile = partial(_always, tile)
                row[str(tile)] = product(operations, name, four_bit, 1)
            fused.tile = chosen
            title = f"{name}, {'4 bits' if four_bit else 'bf16'}"
            found[title] = row
            print(f"{title:32}", "  ".join(f"{key}: {each['us']} us {each['TB/s']} TB/s" for key, each in row.items()))
    return found


def draw(products: dict[str, Any], out: Path) -> None:
    """Draw each product's share of the bandwidth of a plain copy."""
    from bench.pictures import bars

    copy = products["card"]["TB/s"]
    shares = {name: row["1"]["TB/s"] / copy for name, row in products["by rows or tile"].items()}
    bars(
        shares,
        f"One row's product on one {products['card']['name']}: share of a copy's bandwidth",
        out / "gpu_products.png",
    )


def main() -> None:
    """Measure, print, draw, and add to gpu.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_kernels", description=__doc__)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA card here; run this where there is one")
    card = {
        "name": torch.cuda.get_device_name(),
        "date": date.today().isoformat(),
        **limits(),
        "torch": torch.__version__,
    }
    print(card, flush=True)
    path = options.out / "gpu.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found["products"] = {"card": card, "by rows or tile": measure(options.sweep)}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found["products"], options.out)


if __name__ == "__main__":
    main()
