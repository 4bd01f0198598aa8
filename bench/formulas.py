"""Questions that need a calculation, in people's own words: how many are computed, and how many rightly.

`python -m bench.formulas [--plain 40] [--limit N] [--out bench/results]` puts the questions of `train/reader/formulas` that
no reader was trained on to their own text. What is answered by a formula there should be computed; what the text says, or
does not hold, should not. It is computed by rules alone, and by the whole product, where a reading model plans too. The plain
recipe, which leaves the sum to the model, answers `--plain` of the first kind in the same run. A figure is right where its
value is, but for rounding and for thousands or millions, which a caption may give. Prints shares, and writes JSON and a
picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from bench.arithmetic import whole
from bench.computing import ByProduct, Computing
from bench.sets import ROOT, Source
from bench.systems import Plain
from rag_core import Document, RagConfig
from rag_core.arithmetic import compute
from rag_core.evaluation.figures import figures_in
from rag_core.loading.opening import load_document
from train.reader.formulas import Calculation, apart, load_calculations

# A figure may be rounded to so much of its value, or to one decimal.
_ROUNDING, _TENTH = Decimal("0.005"), Decimal("0.051")
_KINDS = {"formula": "computed by a formula", "said": "said by the text", "none": "not in the text"}


def kind_of(asked: Calculation) -> str:
    """Return `formula`, `said` or `none`."""
    return "formula" if asked.formula else "said" if asked.answer else "none"


def is_right(text: str, value: Decimal) -> bool:
    """Tell whether the first figures of `text` hold `value`, signs and powers of a thousand aside."""
    wanted = abs(value)
    for figure in figures_in(text)[:2]:
        for power in (0, 3, 6, 9, -3, -6, -9):
            given = abs(figure.value).scaleb(power)
            least = _TENTH.scaleb(power) if wanted.scaleb(-power) >= 1 else Decimal(0)
            if abs(given - wanted) <= max(wanted * _ROUNDING, least):
                return True
    return False


def documents(texts: Sequence[str]) -> dict[str, Document]:
    """Return each text as it is read from a file."""
    limits = RagConfig().limits
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.txt"
        for text in texts:
            path.write_text(text, encoding="utf-8")
            found[text] = load_document(path, limits)
    return found


def verdicts(asked: Sequence[Calculation], computing: Computing) -> dict[str, Counter[str]]:
    """Return for each kind of question how many are `right`, `wrong`, or `none`: not computed."""
    read = documents(list(dict.fromkeys(each.text for each in asked)))
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}
    for each in asked:
        found = computing(each.question, [whole(read[each.text])])
        value = each.formula.value() if each.formula else None
        right = found is not None and value is not None and is_right(found.text, value)
        counts[kind_of(each)]["none" if found is None else "right" if right else "wrong"] += 1
    return counts


def plain_verdicts(asked: Sequence[Calculation]) -> Counter[str]:
    """Return the same of what the plain recipe says."""
    plain, counts = Plain(RagConfig()), Counter[str]()
    for number, each in enumerate(asked):
        plain.hold([Source(f"text {number}", each.text)])
        value = each.formula.value() if each.formula else None
        counts["right" if value is not None and is_right(plain.ask(each.question).text, value) else "wrong"] += 1
    return counts


def shares(counts: Counter[str]) -> dict[str, float]:
    """Return the share of each verdict."""
    return {verdict: counts[verdict] / max(1, counts.total()) for verdict in ("right", "wrong", "none")}


def main() -> None:
    """Measure and report."""
    from bench.pictures import grouped_bars

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--plain", type=int, default=40, metavar="N", help="questions for the plain recipe (0: none)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="questions, drawn by a seed (0: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    _, held = apart(load_calculations())
    asked = [each for each in held if each.formula is None or each.formula.value() is not None]
    random.Random(0).shuffle(asked)
    asked = asked[: options.limit or None]
    ways: dict[str, Computing] = {"rules": compute, "ours": ByProduct()}
    figures = {
        f"{_KINDS[kind]}, {way}": shares(counts)
        for way, computing in ways.items()
        for kind, counts in verdicts(asked, computing).items()
    }
    if options.plain:
        formulas = [each for each in asked if each.formula][: options.plain]
        figures[f"plain recipe, {len(formulas)} of the first"] = shares(plain_verdicts(formulas))
    for name, row in figures.items():
        print(f"{name:<44}" + "".join(f"{verdict} {share:<10.3f}" for verdict, share in row.items()))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    counted = Counter(kind_of(each) for each in asked)
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "questions": counted, "figures": figures}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "formulas.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    grouped_bars({f"{len(asked)} questions that may need a calculation": figures}, options.out / "formulas.png")


if __name__ == "__main__":
    main()
