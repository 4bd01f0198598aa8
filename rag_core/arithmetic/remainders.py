"""Shares and remainders of what one sentence gives as a whole and its part: "of the facility 6 million was drawn".

Every telling word of the question must stand in the sentence, in what it says of the whole or of the part, or in the
heading; where the text says the remainder itself, nothing is computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag_core.arithmetic.figures import Figure
from rag_core.arithmetic.phrases import FILLERS
from rag_core.arithmetic.prose import prose_sentences
from rag_core.arithmetic.prosewholes import Share, counted_figures, sentence_shares
from rag_core.arithmetic.questions import Asked
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.units import Unit
from rag_core.arithmetic.wording import GENERIC, folded, same_as, words
from rag_core.language.periods import find_periods, without_periods
from rag_core.language.sentences import sentence_spans
from rag_core.records import Hit

__all__ = ["Found", "Rest", "read_rest", "rests", "shares", "spoken_operand"]

_MOST_SENTENCES = 300
# A document's first words, up to its first table, say what it is about.
_OPENING = 200
_BE = r"(?:was|were|is|are|remain(?:s|ed)?|had|has|have|do|does|did|will be)"
_STILL = r"(?:\s+(?:still|yet|then|been|be))*"
_PLAIN_REST = r"left(?: over)?|remaining|outstanding|available|free|to be \w+|to go"
_RESTS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\bhow (?:much|many) (?:of )?(?P<whole>.+?) {_BE}{_STILL} (?:not (?P<neg>.+)|"
        rf"un(?P<un>[a-z]{{3,}})(?P<more>.*)|(?:{_PLAIN_REST})\b.*)",
        rf"\bhow (?:much|many) of (?P<whole>.+?) (?:{_BE} )?(?:falls?|fell|due|payable|matur\w+|expir\w+|expected|"
        rf"recogni\w+)\b.*?"
        r"(?:later than|after|beyond|more than) (?P<later>.+)",
        r"\bwhat (?:was|is|were|are|would be)? ?(?:left|remained|remains|the (?:rest|remainder|balance)) (?:of|"
        r"from) (?P<whole>.+?)"
        r" (?:after|once|following) (?P<after>.+)",
        rf"\b(?:what|how (?:much|large|big)) (?:is|was|are|were) (?P<whole>.+?){_STILL} to be (?P<done>\w+)(?P<more2>.*)",
    )
)
_REST_WORDS = re.compile(
    r"\b(?:remaining|remainder|the rest|the balance|left over|undrawn|unused|unpaid|unsold|uncollected)\b",
    re.IGNORECASE,
)
# What a question calls the remainder, and the sentence only the whole.
_CALLED = frozenset(words("final remaining outstanding rest balance still remainder part portion"))


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a `whole` after a `part`, empty for the only one; `own` is the question's own word for it."""

    whole: str
    part: str
    own: str
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """A whole and its part as operands."""

    whole: tuple[Series, Point]
    part: tuple[Series, Point]


def read_rest(question: str) -> Rest | None:
    """Return the remainder that `question` asks for, or None."""
    text = folded(" ".join(question.split()))[:400]
    for pattern in _RESTS:
        if (match := pattern.search(text)) is None:
            continue
        known = match.groupdict()
        if known.get("neg"):
            return Rest(known["whole"], known["neg"], "", text)
        if known.get("un"):
            return Rest(known["whole"], known["un"] + (known["more"] or ""), "un" + known["un"], text)
        if known.get("later"):
            return Rest(known["whole"], f"within {known['later']}", "", text)
        if known.get("done"):
            return Rest(f"{known['whole']} {known['more2'] or ''}", known["done"], "", text)
        return Rest(known["whole"], known.get("after") or "", "", text)
    return None


def rests(rest: Rest, hits: Sequence[Hit]) -> list[Found]:
    """Return the wholes whose remainder `rest` asks for, each with its part; [] where the text says the remainder."""
    if _is_said(rest, hits):
        return []
    return [
        _operands(hit, start, end, share)
        for hit, start, end, share in _shares(hits)
        if _fits(rest.whole, rest.part, rest.text, hit, (start, end), share)
        and (rest.part or _only(hit, start, end, share))
    ]


def shares(asked: Asked, hits: Sequence[Hit]) -> list[Found]:
    """Return the wholes of sentences with the part of which the share is asked for."""
    part, whole = next(((option[0], option[-1]) for option in asked.options if len(option) == 2), (None, None))
    if part is None or whole is None:
        return []
    return [
        _operands(hit, start, end, share)
        for hit, start, end, share in _shares(hits)
        if _fits(whole.text, part.text, asked.text, hit, (start, end), share)
    ]


def _shares(hits: Sequence[Hit]) -> Iterator[tuple[Hit, int, int, Share]]:
    for hit, _, _, start, end in prose_sentences(hits):
        for share in sentence_shares(hit.document.text[start:end]):
            yield hit, start, end, share


def _is_said(rest: Rest, hits: Sequence[Hit]) -> bool:
    """Tell whether a sentence or a row speaks of the remainder and gives a figure."""
    for hit in hits:
        for start, end in sentence_spans(hit.document.text, hit.start, hit.end)[:_MOST_SENTENCES]:
            sentence = hit.document.text[start:end]
            spoken = _REST_WORDS.search(sentence) or (rest.own and rest.own in sentence.lower())
            if spoken and counted_figures(sentence[spoken.start() :] if isinstance(spoken, re.Match) else sentence):
                return True
    return False


def _fits(whole: str, part: str, text: str, hit: Hit, span: tuple[int, int], share: Share) -> bool:
    sentence = hit.document.text[span[0] : span[1]]
    opening, bar, _ = hit.document.text[:_OPENING].partition(" | ")
    title = words(" ".join([*hit.headings, opening.rpartition("\n")[0] if bar else opening]))
    named = {str(period.year) for period, _, _ in find_periods(text) if period.year}
    held = {str(period.year) for period, _, _ in find_periods(sentence) if period.year} or set(title)
    if not named <= held:
        return False
    of_whole, of_part = words(share.whole_label), words(share.part_label)
    return _covered(whole, of_whole, title) and (not part or _covered(part, of_part, of_whole))


def _covered(text: str, own: Sequence[str], around: Iterable[str]) -> bool:
    """Tell whether all telling words of `text` are there, and half of them among `own`."""
    wanted = set(words(FILLERS.sub(" ", without_periods(text)))) - GENERIC - _CALLED
    around = {*own, *around}
    held = [word for word in wanted if word in own or same_as(word, own)]
    return (
        bool(wanted)
        and len(held) * 2 >= len(wanted)
        and all(word in around or same_as(word, around) for word in wanted)
    )


def _only(hit: Hit, start: int, end: int, share: Share) -> bool:
    """Tell whether the sentence gives no other part of the whole."""
    return not counted_figures(hit.document.text[start + share.part[2] : end])


def _operands(hit: Hit, start: int, end: int, share: Share) -> Found:
    return Found(
        spoken_operand(hit, start, end, share.whole, share.whole_label),
        spoken_operand(hit, start, end, share.part, share.part_label),
    )


def spoken_operand(hit: Hit, start: int, end: int, item: tuple[Figure, int, int], label: str) -> tuple[Series, Point]:
    """Return a figure of the sentence `[start, end)` as an operand that is called `label`; `item` has its span there."""
    figure, first, last = item
    point = Point(None, figure, start + first, start + last, start, end)
    series = Series(
        document=hit.document,
        label=" ".join(label.split()),
        own=words(label),
        column=(),
        section=(),
        near=frozenset(),
        far=frozenset(),
        points=(point,),
        unit=Unit(figure.currency, figure.scale, figure.percent),
        table=(hit.document.id, start),
        rank=0,
        spoken=True,
    )
    return series, point
