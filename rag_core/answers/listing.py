"""Questions for an enumeration ("What are the segments?", "List the covenants"): the list of the document that answers.

A list stands under a line that ends in a colon and names what it lists, as numbered headings under a heading that names
it, or in a sentence behind a colon, a verb such as "are", or the name itself. Of long items their names are told: the
words before the first stop or before what is said about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_core.answers.questions import Asked
from rag_core.language.orders import asks_about_orders, gives_orders
from rag_core.language.sentences import content_terms, sentence_spans, terms
from rag_core.records import Document, Hit

__all__ = ["Listed", "find_list"]

_MOST_WORDS = 60
_MOST_HITS, _MOST_ITEMS, _LEAST_ITEMS = 4, 20, 2
# Characters of a document that are looked through, and those from a heading to its last item.
_AROUND = 400
_LONGEST_DOCUMENT, _REACH = 400_000, 16_000
_ENUMERATES = re.compile(
    r"^\W*(?:(?:what|which) (?:are|were) (?:all )?(?:the|its|our|their|your|this company's)?\s*(?P<first>[\w\s&'’-]+?)"
    r"|(?:please )?(?:list|name|enumerate|give|state) (?:me )?(?:all )?(?:of )?(?:the|its|our|their)?\s*(?P<second>[\w\s&'’-]+?)"
    r"|(?:what|which) (?P<third>(?:[\w&'’-]+ ){0,3}?[\w-]+s) (?:do|does|are|is|were|apply|exist|has|have)\b(?P<rest>[^?]*))\W*$",
    re.IGNORECASE,
)
# What lists give names or sentences for; the plural of a figure asks for figures.
_LISTABLE = re.compile(
    r"\b(?:(?:sub)?segments|divisions|risks|risk factors|committees|subsidiaries|products|services|covenants|assumptions|"
    r"priorities|regions|countries|markets|brands|sites|plants|locations|directors|members|officers|customers|suppliers|"
    r"competitors|estimates|judge?ments|policies|objectives|goals|targets|strategies|pillars|categories|types|classes|"
    r"components|factors|reasons|conditions|criteria|parties|holders|shareholders|activities|units|names|exhibits|items|"
    r"principles|values|initiatives|trends|opportunities|drivers|steps|requirements|rights|measures|methods|standards|"
    r"currencies|facilities|patents|trademarks|lenders|banks)\b(?= *(?:of|in|for|under|at|on|by|that|with|$|\Z))",
    re.IGNORECASE,
)
_PLAIN = frozenset(
    terms(
        "main key principal major primary important reporting reportable report operating business company group firm "
        "fund trust bank apply exist have material significant critical different various all name list type whole there "
        "does following current"
    )
)
_BULLET = re.compile(r"(?:[-–—•*●▪]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)])[ \t]+(?P<text>\S.*)")
_NUMBERED = re.compile(r"^(?P<number>\d{1,2})[.)][ \t]+(?P<text>[A-Z].*)$", re.MULTILINE)
_NAME = re.compile(r"[A-Z][\w&’'-]*(?:(?: (?:and|of|the|for|&))* [A-Z][\w&’'-]*)*")
_LEAD = re.compile(r"[^.:;]{2,80}?(?=[.:;](?:\s|$)| [–—-] |$)")
_LEAD_WORDS = 9
_VERB = (
    r"(?:are|were|is|include[sd]?|including|comprise[sd]?|consists? of|namely|such as|relate to|concern|cover|as follows)"
    r"(?: the following)?"
)
_ITEM = r"[^,;:.()|]+(?:\([^)]*\))?(?:\.\d[^,;:.|]*)*"
_SERIES = re.compile(rf"{_ITEM}(?:, {_ITEM})*,? (?:and|or) {_ITEM}")
_REPEATED = 2
# Entries each with an article: "a coal segment, a water segment and the rest". No entry but the last has a comma: else a list
# without an end could be parted in exponentially many ways.
_ARTICLED = re.compile(r"(?:an?|the) [^,.;:|]+(?:, (?:an?|the) [^,.;:|]+)*,? and (?:an?|the) [^.;:|]+")


@dataclass(frozen=True, slots=True)
class Listed:
    """An item [start, end) of a document, and the span of the line or sentence that it stands in."""

    document: Document
    start: int
    end: int
    line_start: int
    line_end: int


def find_list(asked: Asked, hits: Sequence[Hit]) -> tuple[Listed, ...]:
    """Return the items that answer a question for an enumeration, in their order; () where it is none or none is found.

    A list in a sentence is one item.
    """
    noun, wanted = _wanted(asked.text)
    if not noun or asked.years:
        return ()
    for document in list(dict.fromkeys(hit.document for hit in hits[:_MOST_HITS]))[:2]:
        if len(document.text) > _LONGEST_DOCUMENT:
            continue
        own = set(terms(f"{document.name} {document.text[:200]}"))
        about = _About(noun, wanted - own - noun)
        for finder in (_under_colon, _under_heading, _in_sentence):
            found = finder(document, about)
            if found and not (any(_orders(item) for item in found) and not asks_about_orders(asked.text)):
                return found
    return ()


def _wanted(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the terms of the noun that is to be listed, and all that tell which; nothing where something else is asked."""
    found = _ENUMERATES.match(text.strip())
    what = (found["first"] or found["second"] or found["third"] or "") if found else ""
    noun = _LISTABLE.search(what)
    if found is None or noun is None:
        return frozenset(), frozenset()
    named = frozenset(terms(noun.group()))
    return named - _PLAIN or named, frozenset(content_terms(f"{what} {found['rest'] or ''}")) - _PLAIN


@dataclass(frozen=True, slots=True)
class _About:
    """Terms that a list's sentence has to name, and `further` ones that may stand around it."""

    noun: frozenset[str]
    further: frozenset[str]

    def fits(self, text: str, start: int, end: int) -> bool:
        """Tell whether the line or sentence [start, end) of `text` names what is to be listed."""
        if not self.noun <= set(terms(text[start:end])):
            return False
        return not self.further or self.further <= set(terms(text[max(0, start - _AROUND) : end + _AROUND]))


def _under_colon(document: Document, about: _About) -> tuple[Listed, ...]:
    """Return the marked lines under a line that ends in a colon and names what they are."""
    text = document.text
    for match in re.finditer(r"^(?P<line>[^\n|]+):[ \t]*$", text, re.MULTILINE):
        sentence = re.split(r"(?<=[.!?])\s", match["line"])[-1]
        if about.fits(text, match.end("line") - len(sentence), match.end("line")):
            items = list(_marked(text, match.end()))
            if len(items) >= _LEAST_ITEMS:
                return _shortened(document, items)
    return ()


def _marked(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the items on the lines from `position` on, up to the first line that is none."""
    for match in re.finditer(r"[^\n]+", text[position : position + _REACH]):
        if not match.group().strip():
            continue
        bullet = _BULLET.match(match.group().strip())
        if bullet is None:
            return
        end = position + match.start() + len(match.group().rstrip())
        yield end - len(bullet["text"]), end


def _under_heading(document: Document, about: _About) -> tuple[Listed, ...]:
    """Return the numbered headings or items that count from 1 under a heading that names them."""
    text = document.text
    for heading in re.finditer(r"^(?P<line>[^\n|.]{3,80})$", text, re.MULTILINE):
        if not about.fits(text, *heading.span("line")) or len(heading["line"].split()) > _LEAD_WORDS:
            continue
        items: list[tuple[int, int]] = []
        for match in _NUMBERED.finditer(text, heading.end(), heading.end() + _REACH):
            if int(match["number"]) != len(items) + 1:
                break
            items.append(match.span("text"))
        if len(items) > _LEAST_ITEMS:
            return _shortened(document, items)
    return ()


def _shortened(document: Document, items: Sequence[tuple[int, int]]) -> tuple[Listed, ...]:
    """Return the items, whole where they are short together, else each by its name; () where one has none."""
    text = document.text
    if sum(len(text[start:end].split()) for start, end in items) <= _MOST_WORDS:
        return tuple(Listed(document, start, end, start, end) for start, end in items[:_MOST_ITEMS])
    found = []
    for start, end in items[:_MOST_ITEMS]:
        lead, name = _LEAD.match(text, start, end), _NAME.match(text, start, end)
        if lead and len(lead.group().split()) <= _LEAD_WORDS:
            found.append(Listed(document, start, lead.end(), start, end))
        elif name:
            found.append(Listed(document, start, name.end(), start, end))
        else:
            return ()
    return tuple(found)


def _in_sentence(document: Document, about: _About) -> tuple[Listed, ...]:
    """Return as one item the list in the sentence that names what it lists, the one with the longest list first."""
    text, best = document.text, None
    for low, high in sentence_spans(text):
        if "|" in text[low:high] or not about.fits(text, low, high):
            continue
        span = _series(text, low, high, about.noun)
        if span and (best is None or _commas(text, *span) > _commas(text, best.start, best.end)):
            best = Listed(document, *span, low, high)
    return (best,) if best else ()


def _series(text: str, low: int, high: int, wanted: frozenset[str]) -> tuple[int, int] | None:
    """Return the span of the list in a sentence: behind its name with a colon or a verb, or with the name in each entry."""
    last = high - 1 if text[high - 1] in ".;" else high
    names = [match for match in re.finditer(r"[\w’'-]+", text[low:high]) if set(terms(match.group())) & wanted]
    found = None
    for name in names:
        behind = re.compile(rf"[^.;:|]{{0,60}}?(?:: | {_VERB} )").match(text, low + name.end(), last)
        if behind and (text[behind.end() - 2] == ":" or _SERIES.match(text, behind.end(), last)):
            found = (behind.end(), last)
    if found is None and len(names) >= _REPEATED:
        listed = _ARTICLED.search(text, low, last)
        found = listed.span() if listed else None
    if (
        found is None
        or not re.search(r",| and ", text[slice(*found)])
        or len(text[slice(*found)].split()) > _MOST_WORDS
    ):
        return None
    return found


def _commas(text: str, start: int, end: int) -> int:
    return text.count(", ", start, end)


def _orders(item: Listed) -> bool:
    return gives_orders(item.document.text[item.line_start : item.line_end])
