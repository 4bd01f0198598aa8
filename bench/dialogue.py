"""Follow-up questions: is the right passage found, ours against the ways that other programs search a conversation.

`python -m bench.dialogue [--out bench/results] [--part all|development|held_out] [--misses]`. The conversations of
`bench/data/conversations.jsonl` were written over `sample_files` before the rules were looked at; a third of them was
held out while the rules were worked on and is reported apart. Each names the passages that hold its answer by a piece
of their text. A method turns a conversation into the text that is searched; the same retrieval then ranks the same
passages. Prints hit@1 and hit@5 (share of conversations with a right passage first, or among the first five) and how
often the searched text names what it must and leaves out what it must not; writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.pictures import grouped_bars
from rag_core import Hit, Message, RagConfig, RagPipeline
from rag_core.dialogue.followup import resolve_question

ROOT = Path(__file__).parent.parent
CONVERSATIONS = ROOT / "bench" / "data" / "conversations.jsonl"
SAMPLES = ROOT / "sample_files"
DEPTH = 5
PARTS = ("development", "held_out", "all")

# A conversation to the text that is searched.
QueryMaker = Callable[["Conversation"], str]


@dataclass(frozen=True)
class Conversation:
    """Turns in order, the user's first and last; the passages that are right; what the searched text must name."""

    key: str
    kind: str
    held_out: bool
    turns: tuple[str, ...]
    gold: tuple[tuple[str, str], ...]
    query_has: tuple[str, ...]
    query_lacks: tuple[str, ...]

    @property
    def question(self) -> str:
        """The last turn."""
        return self.turns[-1]

    @property
    def history(self) -> list[Message]:
        """All turns but the last, as messages."""
        return [Message("assistant" if place % 2 else "user", turn) for place, turn in enumerate(self.turns[:-1])]

    def found_by(self, hit: Hit) -> bool:
        """Whether the hit holds one of the right passages."""
        return any(hit.document.name == name and snippet in hit.text for name, snippet in self.gold)

    def named_by(self, query: str) -> bool:
        """Whether the searched text names what it must, and nothing that belongs to another turn."""
        return all(_holds(query, words) for words in self.query_has) and not any(
            _holds(query, words) for words in self.query_lacks
        )


def _holds(text: str, words: str) -> bool:
    return re.search(rf"\b{re.escape(words)}", text, re.IGNORECASE) is not None


def read_conversations(path: Path = CONVERSATIONS) -> list[Conversation]:
    """Return the conversations of a JSON Lines file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        gold = tuple((item["document"], item["snippet"]) for item in row["gold"])
        found.append(
            Conversation(
                row["id"],
                row["kind"],
                row["held_out"],
                tuple(row["turns"]),
                gold,
                tuple(row["query_has"]),
                tuple(row["query_lacks"]),
            )
        )
    return found


# Ways that need nothing but the conversation.
PLAIN: dict[str, QueryMaker] = {
    "last message only": lambda talk: talk.question,
    "the user's messages glued": lambda talk: " ".join(talk.turns[::2]),
    "all messages glued": lambda talk: " ".join(talk.turns),
}


@dataclass(frozen=True)
class Outcome:
    """One conversation under one method: `place` is the rank of the first right passage, 0 beyond the first five."""

    talk: Conversation
    query: str
    place: int


def run(rag: RagPipeline, talks: Sequence[Conversation]) -> dict[str, list[Outcome]]:
    """Search every conversation by every method."""

    def similarity(phrase: str, others: Sequence[str]) -> Sequence[float]:
        vectors = rag.embedder.encode([phrase, *others])
        return [float(cosine) for cosine in vectors[1:] @ vectors[0]]

    methods = {"ours": lambda talk: resolve_question(talk.question, talk.history, similarity), **PLAIN}
    outcomes: dict[str, list[Outcome]] = {}
    for name, query_of in methods.items():
        rows = outcomes.setdefault(name, [])
        for talk in talks:
            query = query_of(talk)
            hits = rag.search(query, DEPTH)
            place = next((rank for rank, hit in enumerate(hits, 1) if talk.found_by(hit)), 0)
            rows.append(Outcome(talk, query, place))
    return outcomes


def figures(rows: Sequence[Outcome]) -> dict[str, float]:
    """Return the shares in [0, 1], higher is better."""
    count = len(rows)
    return {
        "hit@1": sum(row.place == 1 for row in rows) / count,
        "hit@5": sum(row.place > 0 for row in rows) / count,
        "query names its subject": sum(row.talk.named_by(row.query) for row in rows) / count,
    }


def part_of(rows: Sequence[Outcome], part: str) -> list[Outcome]:
    """Return the rows of `development`, `held_out` or `all`."""
    return [row for row in rows if part == "all" or row.talk.held_out == (part == "held_out")]


def by_kind(rows: Sequence[Outcome]) -> dict[str, str]:
    """Return by kind of follow-up how many were found in the first five, of how many."""
    kinds = list(dict.fromkeys(row.talk.kind for row in rows))
    of_kind = {kind: [row for row in rows if row.talk.kind == kind] for kind in kinds}
    return {kind: f"{sum(row.place > 0 for row in some)}/{len(some)}" for kind, some in of_kind.items()}


def report(outcomes: dict[str, list[Outcome]], out: Path) -> None:
    """Print tables and write JSON and a picture."""
    tables = {
        part: {name: figures(part_of(rows, part)) for name, rows in outcomes.items()}
        for part in PARTS
        if part_of(outcomes["ours"], part)
    }
    for part, table in tables.items():
        print(f"\n{part.replace('_', ' ')} ({len(part_of(outcomes['ours'], part))} conversations)")
        for name, row in table.items():
            print(f"  {name:<28}" + "  ".join(f"{title} {value:.3f}" for title, value in row.items()))
    ratio = tables["all"]["ours"]["hit@5"] / tables["all"]["last message only"]["hit@5"]
    print(f"\nOurs finds the passage in the first five {ratio:.2f} times as often as the last message only")
    kinds = {name: by_kind(rows) for name, rows in outcomes.items()}
    for kind in kinds["ours"]:
        print(f"  {kind:<12}" + "  ".join(f"{name} {table[kind]}" for name, table in kinds.items()))
    content: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "figures": tables,
        "ratio_hit@5_to_last_message_only": ratio,
        "found_in_first_five_by_kind": kinds,
        "missed_by_ours": [row.talk.key for row in outcomes["ours"] if not row.place],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "dialogue.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    grouped_bars({part.replace("_", " "): table for part, table in tables.items()}, out / "dialogue.png")


def show(rows: Sequence[Outcome], part: str) -> None:
    """Print what ours searched and where it found it, the misses of `part` alone."""
    for row in part_of(rows, part):
        if row.place != 1 or not row.talk.named_by(row.query):
            named = "" if row.talk.named_by(row.query) else ", query wrong"
            print(f"{row.talk.key} {row.talk.kind} rank {row.place}{named}: {row.talk.turns[-3:]}\n    -> {row.query}")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--misses", choices=PARTS, help="print the misses of this part and write nothing")
    options = parser.parse_args()
    talks = read_conversations()
    with RagPipeline(RagConfig()) as rag:
        for path in sorted(SAMPLES.iterdir()):
            if path.suffix in {".txt", ".md", ".csv", ".html", ".docx", ".xlsx", ".pdf"}:
                rag.add_document(path)
        if options.misses:
            outcomes = run(
                rag,
                [talk for talk in talks if options.misses == "all" or talk.held_out == (options.misses == "held_out")],
            )
            show(outcomes["ours"], options.misses)
            for name, rows in outcomes.items():
                print(name, {title: round(value, 3) for title, value in figures(rows).items()})
        else:
            report(run(rag, talks), options.out)


if __name__ == "__main__":
    main()
