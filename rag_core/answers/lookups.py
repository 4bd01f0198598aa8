"""What a table look-up gives: cells of one row or column, told as the table prints them, with its unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_core.arithmetic.series import Point, Series

__all__ = ["LookUp", "joined"]

_SCALES = {3: "thousand", 6: "million", 9: "billion"}


@dataclass(frozen=True, slots=True)
class LookUp:
    """Cells of one row or column that answer, in the order of the periods asked for. `score` in [0, 1] says how well it fits.

    `periods` says that their periods answer, not their figures; `latest` that no period was asked for and the cells are of
    the latest of several.
    """

    series: Series
    points: tuple[Point, ...]
    score: float
    periods: bool = False
    latest: bool = False

    @property
    def text(self) -> str:
        """The figures as printed, each with the currency, the scale and the percent sign that the table gives them.

        Where the periods are asked for, these.
        """
        if self.periods:
            found = [point.period for point in self.points if point.period]
            yearly = len({period.year for period in found}) == len(found) and all(period.year for period in found)
            return joined([str(period.year if yearly else period) for period in found])
        told = " and ".join(_shown(self.series, point) for point in self.points)
        return f"{told} ({self.points[0].period})" if self.latest else told


def joined(texts: Sequence[str]) -> str:
    """Return texts as a sentence lists them: with commas, and "and" before the last."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _shown(series: Series, point: Point) -> str:
    figure, unit = point.figure, series.unit
    text = figure.text
    if unit.percent or figure.percent:
        return text if "%" in text else f"{text}%"
    if figure.nothing:
        return text
    if unit.currency and not figure.currency and unit.currency not in text:
        text = f"{unit.currency} {text}" if unit.currency.isalpha() else f"{unit.currency}{text}"
    scale = "" if figure.scale else _SCALES.get(unit.scale, "")
    return f"{text} {scale}".strip()
