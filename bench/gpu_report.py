"""What `bench.gpu` measured, as a table, as JSON that grows part by part, and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.pictures import bars

__all__ = ["Figures", "table", "write"]

# By the name of what was measured: plain, ours, limit, and whatever else belongs to it.
Figures = dict[str, dict[str, float]]
# What is aimed at on an H200. Higher is better for tokens/s, lower for times.
_TARGETS: dict[str, float] = {
    "one user, bf16, tokens/s": 240,
    "one user, 4 bits, tokens/s": 400,
    "first token, ms": 45,
    "first token, start cached, ms": 10,
    "64 chats, tokens/s": 4_000,
    "64 chats, p95 between tokens, ms": 50,
    "prompt lookup, times as fast": 1.8,
    "disk to first token, s": 6,
}


def table(figures: Figures) -> str:
    """Return the table that is printed."""
    lines = [f"{'':36}{'plain':>9}{'ours':>9}{'target':>9}{'limit':>9}"]
    for name, row in figures.items():
        cells = {**row, "target": _TARGETS.get(name)}
        shown = "".join(
            f"{cells[key]:>9.1f}" if cells.get(key) is not None else f"{'':>9}"
            for key in ("plain", "ours", "target", "limit")
        )
        rest = {key: round(value, 3) for key, value in row.items() if key not in ("plain", "ours", "limit")}
        lines.append(f"{name:36}{shown}{f'  {rest}' if rest else ''}")
    return "\n".join(lines)


def write(out: Path, figures: Figures, card: dict[str, Any], **sizes: int) -> None:
    """Add the figures to those of the same card in `out`, with the `sizes` they were measured at, and draw all of them."""
    path = out / "gpu.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if found.get("card", {}).get("name") != card["name"]:
        found = {}
    known = found.get("figures", {})
    for name, row in figures.items():
        known[name] = {**known.get(name, {}), **row}
    out.mkdir(parents=True, exist_ok=True)
    told = {**found, "card": card, **sizes, "targets": _TARGETS, "figures": known}
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    reached = {
        name: (row["ours"] / _TARGETS[name] if not name.endswith((" ms", " s")) else _TARGETS[name] / row["ours"])
        for name, row in known.items()
        if name in _TARGETS and "ours" in row
    }
    bars(reached, f"Share of the target reached on one {card['name']} (more is better)", out / "gpu.png")
