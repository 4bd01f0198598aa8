"""What the data gate finds: findings with advice, and the counts behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Effort", "Finding", "Part", "Report", "Severity", "Source", "Spread"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something to know: an error forbids training, a warning costs quality, a note explains a number."""

    severity: Severity
    text: str
    advice: str


@dataclass(frozen=True)
class Spread:
    """Of a list of lengths in tokens: the values at rank 0, one half, 95 % and 1 (nearest rank)."""

    minimum: int
    median: int
    p95: int
    maximum: int


@dataclass(frozen=True)
class Source:
    """A source as it was read: types by column, counts of rows. Rows are trimmed of white space first."""

    name: str
    columns: dict[str, str]
    rows: int
    empty_questions: int
    empty_answers: int
    duplicates: int
    conflicts: int
    control_tokens: int


@dataclass(frozen=True)
class Part:
    """The rows of one side of the split in tokens, before anything is cut. `answer` counts the end of the turn.

    `cut` rows lose the end of their answer; `lost` ones teach nothing: their prompt alone is too long, or they are
    too long and data.overlong is drop.
    """

    name: Literal["train", "eval"]
    rows: int
    with_context: int
    prompt: Spread
    answer: Spread
    total: Spread
    cut: int
    lost: int
    lengths: tuple[tuple[int, int], ...] = field(repr=False)  # of prompt and answer, a row each


@dataclass(frozen=True)
class Effort:
    """What a run takes. `padding` is the share of an epoch's tokens that fill short rows, in [0, 1)."""

    devices: int
    tokens_per_epoch: int
    answer_tokens_per_epoch: int
    padding: float
    steps_per_epoch: int
    steps: int


@dataclass(frozen=True)
class Report:
    """All that the gate found. `overlap` rows left training because they are held out too."""

    sources: tuple[Source, ...]
    parts: tuple[Part, ...]
    overlap: int
    overlap_normalised: int
    effort: Effort | None
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether training may start."""
        return not any(finding.severity == "error" for finding in self.findings)

    def plain(self) -> dict[str, Any]:
        """Return it as plain values for JSON, without the lengths of each row."""
        values = {**asdict(self), "passed": self.passed}
        for part in values["parts"]:
            del part["lengths"]
        return values
