"""Long reports to search: invented companies' annual reports of 100 pages and more, with questions as analysts ask them.

`python -m bench.filings --data DIR --out FOLDER` writes the PDFs and `questions.jsonl` (`question`, `file`, `pages`,
`kind`). Cover, statements, discussion and notes come from `bench/data/filings.json`, with figures drawn from a seed;
between them stand texts of DIR's `corpus.jsonl` as further notes, the same running head on every page. So every page
speaks of revenue, cash flow and years, and a question's own words (capex) are often not those of the page that holds
its answer (purchases of property and equipment). Each text of DIR stands in four of the six reports.

`bench/data/second_analyst.json` to `fourth_analyst.json` have further questions about the same pages, each written apart from
those before, the fourth's at length, with parts to play, definitions and instructions. The third's were first looked at when
the ranking model and its weight stood; nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.paper import Report

__all__ = ["PageQuestion", "build_filings"]

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "bench" / "data" / "filings.json"
OTHERS = {f"{name} analyst": ROOT / "bench" / "data" / f"{name}_analyst.json" for name in ("second", "third", "fourth")}
_SHARE = 4  # reports of the six in which a text stands
_STEPS = {
    "income": "revenue cogs gross sga rnd restructuring operating interest pretax tax net basic diluted",
    "balance": (
        "cash_held securities receivables inventory prepaid current_assets ppe goodwill intangibles total_assets "
        "payables accrued short_debt deferred_revenue current_liabilities long_debt total_liabilities retained "
        "total_equity"
    ),
    "cash": (
        "net depreciation share_pay receivables inventory payables operating_cash capex acquired securities "
        "investing_cash dividends buybacks repaid financing_cash cash_held"
    ),
    "equity": "net dividends buybacks share_pay retained total_equity",
    "selected": "revenue operating net diluted total_assets cash_held",
}
# Of what part each line is: (of which other line, lowest share, highest share).
_SHARES: dict[str, tuple[str, float, float]] = {
    "cogs": ("revenue", 0.4, 0.7), "sga": ("revenue", 0.1, 0.2), "rnd": ("revenue", 0.01, 0.05),
    "restructuring": ("revenue", 0.0, 0.02), "interest": ("revenue", 0.01, 0.03), "cash_held": ("revenue", 0.05, 0.2),
    "securities": ("revenue", 0.02, 0.1), "receivables": ("revenue", 0.06, 0.14), "inventory": ("revenue", 0.05, 0.15),
    "prepaid": ("revenue", 0.01, 0.04), "ppe": ("revenue", 0.3, 0.8), "goodwill": ("revenue", 0.1, 0.4),
    "intangibles": ("revenue", 0.05, 0.2), "payables": ("revenue", 0.06, 0.12), "accrued": ("revenue", 0.03, 0.08),
    "short_debt": ("revenue", 0.01, 0.05), "deferred_revenue": ("revenue", 0.01, 0.06),
    "long_debt": ("revenue", 0.2, 0.5), "retained": ("revenue", 0.2, 0.6), "depreciation": ("revenue", 0.03, 0.07),
    "share_pay": ("revenue", 0.005, 0.02), "capex": ("revenue", 0.03, 0.09), "acquired": ("revenue", 0.0, 0.08),
    "dividends": ("revenue", 0.01, 0.03), "buybacks": ("revenue", 0.01, 0.04), "repaid": ("revenue", 0.01, 0.05),
}  # fmt: skip


@dataclass(frozen=True)
class PageQuestion:
    """A question, the file it is about, and the 1-based pages that hold its answer.

    `kind` is `analyst`, `second analyst` to `fourth analyst`, or what the questions about the texts came with.
    """

    text: str
    file: str
    pages: frozenset[int]
    kind: str


def build_filings(
    folder: Path, corpus: Sequence[Mapping[str, Any]], asked: Sequence[tuple[str, frozenset[str], str]]
) -> list[PageQuestion]:
    """Write the reports as PDFs into `folder` and return the questions.

    `corpus` has `id` and `text`; `asked` are questions about it with their ids and kind, each asked of one report.
    """
    source = json.loads(SOURCE.read_text(encoding="utf-8"))
    others = {kind: json.loads(path.read_text(encoding="utf-8")) for kind, path in OTHERS.items()}
    questions: list[PageQuestion] = []
    places: dict[str, tuple[str, frozenset[int]]] = {}
    for number, company in enumerate(source["companies"]):
        draw = random.Random(number)
        notes = [row for place, row in enumerate(corpus) if (place + number) % 6 < _SHARE]
        draw.shuffle(notes)
        report = Report(company)
        pages = _write(report, source, company, notes, draw)
        report.output(str(folder / company["file"]))
        for row in notes:
            places.setdefault(row["id"], (company["file"], pages[row["id"]]))
        questions += _asked(source, company, number, pages, "analyst")
        for kind, other in others.items():
            questions += _asked(other, company, number, pages, kind)
    for text, ids, kind in asked:
        found = [places[key] for key in sorted(ids) if key in places]
        if found:
            questions.append(PageQuestion(text, *found[0], kind))
    return questions


def _asked(
    source: Mapping[str, Any],
    company: Mapping[str, Any],
    number: int,
    pages: Mapping[str, frozenset[int]],
    kind: str,
) -> list[PageQuestion]:
    """Return the questions of `source` about the report `number`, its own pages given by key."""
    questions = []
    for turn, item in enumerate(source["questions"]):
        keys = [*item["on"], *item.get("also", [])]
        text = item["ask"][(number + turn) % len(item["ask"])].format(**_slots(company))
        # Every other question says how to answer, as people do, where the set does not say so itself.
        tails = source.get("tails")
        if tails and (number + turn) % 2:
            text += " " + tails[turn % len(tails)]
        questions.append(PageQuestion(text, company["file"], frozenset().union(*(pages[key] for key in keys)), kind))
    return questions


def _write(
    report: Report,
    source: Mapping[str, Any],
    company: Mapping[str, Any],
    notes: Sequence[Mapping[str, Any]],
    draw: random.Random,
) -> dict[str, frozenset[int]]:
    """Write one report; return the pages of each own page's key and of each note's id."""
    slots, ledger = _slots(company), _ledger(company, draw)
    for name, titles in source["titles"].items():
        slots[f"t_{name}"] = titles[company["style"]]
    slots.update({f"n{number}": f"{draw.randint(20, 9_000):,}" for number in range(1, 10)})
    slots.update({f"p{number}": str(draw.randint(2, 9)) for number in range(1, 3)})
    slots.update({name: f"{ledger[name][0]:,.0f}" for name in ("dividends", "buybacks")})
    slots["g"] = f"{(ledger['revenue'][0] / ledger['revenue'][1] - 1) * 100:.1f}"
    slots["e0"], slots["e1"] = f"{ledger['diluted'][0]:.2f}", f"{ledger['diluted'][0] * 1.05:.2f}"
    pages: dict[str, frozenset[int]] = {}
    own, left = source["pages"], list(notes)
    for number, page in enumerate(own):
        report.add_page()
        first = report.page_no()
        title = page.get("title") or slots[f"t_{page['key']}"]
        report.title_line(title)
        for text in page.get("text", ()):
            report.paragraph(text.format(**slots))
        if "table" in page:
            report.rows(_table(page["table"], source, company, ledger, slots, draw))
        if page["key"] in source["titles"]:
            report.paragraph("See accompanying notes.")
        pages[page["key"]] = frozenset(range(first, report.page_no() + 1))
        # Few notes before the statements, most after them, as in a real report.
        before = number < [item["key"] for item in own].index("policies")
        share = len(left) // (2 * (len(own) - number)) if before else -(-len(left) // (len(own) - number))
        for place, row in enumerate([left.pop() for _ in range(share)]):
            # A statement has its page to itself.
            alone = place == 0 and page["key"] in source["titles"]
            pages[str(row["id"])] = _note(report, str(row["text"]), alone)
    return pages


def _note(report: Report, text: str, new_page: bool) -> frozenset[int]:
    if new_page or report.get_y() > report.h * 0.6:
        report.add_page()
    first = report.page_no()
    prose, _, table = text.partition("Table:\n")
    for part in prose.split("\n\n"):
        if part.strip():
            report.paragraph(part)
    report.rows([[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()])
    return frozenset(range(first, report.page_no() + 1))


def _table(
    name: str,
    source: Mapping[str, Any],
    company: Mapping[str, Any],
    ledger: Mapping[str, Sequence[float]],
    slots: Mapping[str, str],
    draw: random.Random,
) -> list[list[str]]:
    """Return the rows of a table, the header first."""
    year, style = company["year"], company["style"]
    if name in ("segments", "geography"):
        parts = company["segments" if name == "segments" else "places"]
        lines = (
            ["Net sales", "Operating income", "Depreciation and amortization", "Capital expenditures", "Total assets"]
            if name == "segments"
            else ["Net sales", "Long-lived assets"]
        )
        rows = [["", str(year), str(year - 1)]]
        for line in lines:
            rows.append([f"{line}:"])
            rows += [[part, *_figures([draw.uniform(50, company["revenue"] / 3) for _ in range(2)])] for part in parts]
        return rows
    columns = {"balance": 2, "selected": 5}.get(name, 3)
    rows = [[slots["unit"], *[str(year - back) for back in range(columns)]]]
    for key in _STEPS[name].split():
        rows.append([source["labels"][key][style], *_figures(ledger[key][:columns], key in ("basic", "diluted"))])
    return rows


def _figures(values: Sequence[float], cents: bool = False) -> list[str]:
    if cents:
        return [f"{value:.2f}" for value in values]
    return [f"({-value:,.0f})" if value < 0 else f"{value:,.0f}" for value in values]


def _ledger(company: Mapping[str, Any], draw: random.Random) -> dict[str, list[float]]:
    """Return five years of every line, the latest first; sums add up, outflows of the cash flow are positive."""
    revenue = [float(company["revenue"])]
    for _ in range(4):
        revenue.append(revenue[-1] / draw.uniform(0.96, 1.12))
    shares = {name: draw.uniform(low, high) for name, (_, low, high) in _SHARES.items()}
    lines: dict[str, list[float]] = {"revenue": revenue}
    for name, share in shares.items():
        lines[name] = [value * share * draw.uniform(0.93, 1.07) for value in revenue]

    def less(first: str, *others: str) -> list[float]:
        return [lines[first][at] - sum(lines[other][at] for other in others) for at in range(5)]

    def total(*names: str) -> list[float]:
        return [sum(lines[name][at] for name in names) for at in range(5)]

    lines["gross"] = less("revenue", "cogs")
    lines["operating"] = less("gross", "sga", "rnd", "restructuring")
    lines["pretax"] = less("operating", "interest")
    lines["tax"] = [value * 0.23 for value in lines["pretax"]]
    lines["net"] = less("pretax", "tax")
    lines["basic"] = [value / 310 for value in lines["net"]]
    lines["diluted"] = [value / 316 for value in lines["net"]]
    lines["current_assets"] = total("cash_held", "securities", "receivables", "inventory", "prepaid")
    lines["total_assets"] = total("current_assets", "ppe", "goodwill", "intangibles")
    lines["current_liabilities"] = total("payables", "accrued", "short_debt", "deferred_revenue")
    lines["total_liabilities"] = total("current_liabilities", "long_debt")
    lines["total_equity"] = less("total_assets", "total_liabilities")
    lines["operating_cash"] = total("net", "depreciation", "share_pay")
    lines["investing_cash"] = [-value for value in total("capex", "acquired", "securities")]
    lines["financing_cash"] = [-value for value in total("dividends", "buybacks", "repaid")]
    return lines


def _slots(company: Mapping[str, Any]) -> dict[str, str]:
    year = int(company["year"])
    slots = {key: str(value) for key, value in company.items() if isinstance(value, str)}
    slots.update({f"s{number}": name for number, name in enumerate(company["segments"])})
    slots["ticker"] = "".join(word[0] for word in company["name"].split() if word[0].isalpha()).upper()
    return {**slots, "year": str(year), "prior": str(year - 1), "next": str(year + 1), "later": str(year + 9)}


def main() -> None:
    """Write the reports and their questions."""
    from bench.retrieval import asked_of, read_rows

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl and queries.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PDFs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    questions = build_filings(options.out, read_rows(options.data / "corpus.jsonl"), asked_of(options.data))
    rows = [{"question": q.text, "file": q.file, "pages": sorted(q.pages), "kind": q.kind} for q in questions]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (options.out / "questions.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
