"""Indexing and search at size, ours against plain LangChain with Chroma in one run.

`python -m bench.index` measures, each ours and plain:
- embedding: texts a second on this machine's device, and the cosine between both ways' vectors of the same texts;
- indexing: generated ten-page documents and one long text, from text to searchable (`--documents 1000 --pages 2000`);
- search: p50 and p95 of one question at each size (`--sizes 10000 100000 1000000`, embedded chunks), memory, and the time
  until a new document is found. Chunks and words are real work; the vectors of this part are seeded noise around 200
  centres, given to both, because embedding a million chunks takes hours on a CPU. `--vectors-only` leaves the words out.

The defaults are small, so that `make bench` stays short. It prints a table, and writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.measures import Pair, embedding, indexing, search, vectors_only
from rag_core.config import RagConfig

ROOT = Path(__file__).parent.parent


def report(figures: dict[str, Pair], load: float, out: Path) -> None:
    """Print the table, write JSON and the picture."""
    from bench.pictures import bars

    for name, pair in figures.items():
        if "plain" in pair:
            higher = "/s)" in name or "cosine" in name
            pair["ratio"] = pair["ours"] / pair["plain"] if higher else pair["plain"] / pair["ours"]
        shown = "   ".join(f"{kind} {value:>10.3f}" for kind, value in pair.items())
        print(f"{name:<52} {shown}", flush=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {_device()}, Python {platform.python_version()}"
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "load_before": load, "figures": figures}
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    ratios = {name: pair["ratio"] for name, pair in figures.items() if "ratio" in pair and "cosine" not in name}
    bars(ratios, "Times better than the plain recipe", out / "index.png")


def _device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=512, help="texts to embed; 0 skips that part")
    parser.add_argument("--documents", type=int, default=10, help="ten-page documents to index; 0 skips that part")
    parser.add_argument("--pages", type=int, default=50, help="pages of the long text")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000], help="chunks to search among")
    parser.add_argument("--vectors-only", type=int, nargs="*", default=[], help="sizes to measure without words")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--embedder", default="auto", help="a Hub id or a folder")
    parser.add_argument("--device", default="auto", help="of the embedder: auto, cpu or cuda")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    config = RagConfig().with_setting("limits.documents", 1_000_000)
    config = config.with_setting("embedding.model", options.embedder)
    config = config.with_setting("embedding.device", options.device)
    parts: list[Callable[[], dict[str, Pair]]] = []
    if options.texts:
        parts.append(lambda: embedding(config, options.texts))
    if options.documents:
        parts.append(lambda: indexing(config, options.documents, options.pages))
    parts += [partial(search, config, size, options.questions) for size in options.sizes]
    parts += [partial(vectors_only, size, options.questions) for size in options.vectors_only]
    figures: dict[str, Pair] = {}
    for part in parts:
        # Written after each part: the largest sizes take long, and may not fit.
        figures.update(part())
        report(figures, load, options.out)


if __name__ == "__main__":
    main()
