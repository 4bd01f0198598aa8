"""Tables and sentences of annual reports of invented companies, with questions whose answers stand in them.

Everything follows from a seed. Figures are drawn at random, so an answer can only be read, never known.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from train.reader.paragraphs import Paragraph, Question
from train.reader.wording import AREAS, CAUSES, COMPANIES, ITEMS, MONTHS, NATURES, POLICIES, SUFFIXES, WHOLES

__all__ = ["report_paragraph", "report_sentences", "report_table"]


def report_paragraph(chance: random.Random) -> Paragraph:
    """Return a table, or some sentences, of a report, with questions of which about a quarter cannot be answered."""
    return report_table(chance) if chance.random() < 0.55 else report_sentences(chance)


@dataclass(frozen=True)
class _Style:
    """How one report writes: currency, decimals, how it names its years."""

    currency: str
    decimals: int
    largest: float
    scale: str
    years: tuple[int, ...]
    year_end: str

    def figure(self, value: float) -> str:
        """Return a figure of a table: thousands parted, negative ones in brackets."""
        text = f"{abs(value):,.{self.decimals}f}"
        return f"({text})" if value < 0 else text


def _style(chance: random.Random) -> _Style:
    latest = chance.randint(2004, 2026)
    years = tuple(latest - offset for offset in range(chance.choice((2, 2, 2, 3, 3, 5))))
    return _Style(
        currency=chance.choice(("$", "$", "$", "€", "£", "CHF ", "SEK ", "¥", "")),
        decimals=chance.choice((0, 0, 0, 1, 1, 2)),
        largest=10 ** chance.uniform(2, 5.7),
        scale=chance.choice(("thousands", "millions", "millions", "thousands", "billions")),
        years=years if chance.random() < 0.75 else years[::-1],
        year_end=f"{chance.choice(MONTHS)} {chance.choice((28, 30, 31))}",
    )


def company(chance: random.Random) -> str:
    """Return the name of a company that does not exist."""
    return f"{chance.choice(COMPANIES)} {chance.choice(SUFFIXES)}"


def report_table(chance: random.Random) -> Paragraph:
    """Return a table, its rows as lines and its cells parted by bars, as documents are read into text."""
    style = _style(chance)
    items = chance.sample(ITEMS, chance.randint(4, 11))
    start = style.largest / chance.choice((1, 3, 10, 30))
    values = {
        item: [chance.uniform(-1 if chance.random() < 0.2 else 0.02, 1) * start for _ in style.years] for item in items
    }
    lines = [*_caption(chance, style), *_header(chance, style)]
    sign = style.currency if chance.random() < 0.5 else ""
    note = chance.random() < 0.2
    change = len(style.years) == 2 and chance.random() < 0.2
    cells: dict[tuple[str, int], str] = {}
    for place, item in enumerate(items):
        row = [style.figure(value) for value in values[item]]
        if chance.random() < 0.05:
            row[chance.randrange(len(row))] = "—"
        if place in (0, len(items) - 1) and sign:
            row = [f"{sign}{'' if sign.endswith(' ') else chance.choice(('', ' '))}{cell}" for cell in row]
        cells.update({(item, year): cell for year, cell in zip(style.years, row, strict=True)})
        shown = [item, *([str(chance.randint(3, 29))] if note else []), *row]
        if change:
            shown.append(f"{chance.uniform(-40, 60):.1f}%")
        lines.append(" | ".join(shown))
    return Paragraph("table", "\n".join(lines), tuple(_table_questions(chance, items, style, cells)))


def _caption(chance: random.Random, style: _Style) -> list[str]:
    name = company(chance)
    captions: tuple[list[str], ...] = (
        [],
        [f"{name}"],
        [f"The following table presents selected data of {name} (in {style.scale}):"],
        [f"({chance.choice(('in', 'amounts in', style.currency + ' in'))} {style.scale})"],
        [f"{name}: consolidated {chance.choice(('statements of operations', 'balance sheets', 'cash flows'))}"],
        ["Table:"],
    )
    return list(chance.choice(captions))


def _header(chance: random.Random, style: _Style) -> list[str]:
    years = [str(year) for year in style.years]
    forms = (
        [" | ".join(["", *years])],
        [" | ".join([f"{style.currency}{style.scale}", *years])],
        [f" | Years ended {style.year_end}, | ", " | ".join(["", *years])],
        [
            " | ".join(
                ["", *(f"FY{year[2:]}" if chance.random() < 0.1 else f"{style.year_end}, {year}" for year in years)]
            )
        ],
        [" | ".join(["For the fiscal year", *years])],
    )
    return list(chance.choice(forms))


def _asked(item: str, chance: random.Random) -> str:
    return item if chance.random() < 0.3 and item[1:2].isupper() else item[0].lower() + item[1:]


def _table_questions(
    chance: random.Random, items: list[str], style: _Style, cells: dict[tuple[str, int], str]
) -> list[Question]:
    forms = (
        "What was the {item} in {year}?",
        "What were the {item} in {year}?",
        "How much was {item} in {year}?",
        "What is the amount of {item} for {year}?",
        "What was the value of {item} as of {year}?",
        "How much did {item} amount to in {year}?",
        "{year} {item}?",
        "What was the company's {item} for fiscal year {year}?",
        "In {year}, what was {item}?",
        "What did the company report as {item} for the year ended {end}, {year}?",
    )
    questions = []
    for _ in range(chance.randint(3, 5)):
        item, year = chance.choice(items), chance.choice(style.years)
        text = chance.choice(forms).format(item=_asked(item, chance), year=year, end=style.year_end)
        if cells[item, year] != "—":
            questions.append(Question(text, cells[item, year].strip()))
    absent = chance.choice([item for item in ITEMS if not _alike(item, items)])
    other = chance.choice((min(style.years) - chance.randint(1, 4), max(style.years) + chance.randint(1, 3)))
    form = chance.choice(forms)
    missing = (
        form.format(item=_asked(absent, chance), year=chance.choice(style.years), end=style.year_end),
        form.format(item=_asked(chance.choice(items), chance), year=other, end=style.year_end),
    )
    questions.append(Question(chance.choice(missing), ""))
    return questions


def _alike(item: str, items: list[str]) -> bool:
    words = set(item.lower().split())
    return any(len(words & set(other.lower().split())) > 0 for other in items)


def report_sentences(chance: random.Random) -> Paragraph:
    """Return three to six sentences of a management report, each with a question of its own."""
    style, name = _style(chance), company(chance)
    makers = chance.sample((_movement, _movement, _consists, _policy, _share, _event, _people, _movement), 4)
    items = chance.sample(ITEMS, len(makers))
    texts, questions = [], []
    for maker, item in zip(makers, items, strict=True):
        text, asked = maker(chance, style, item, name)
        texts.append(text)
        questions += asked
    absent = chance.choice([item for item in ITEMS if not _alike(item, items)])
    whole = " ".join(texts)
    chance.shuffle(questions)
    year = chance.choice([year for year in range(2001, 2028) if str(year) not in whole])
    near = (
        Question(f"What was {_asked(absent, chance)} in {style.years[0]}?", ""),
        Question(f"Why did {_asked(absent, chance)} change?", ""),
        Question(f"What was {_asked(items[0], chance)} in {year}?", ""),
        Question(f"How much was {_asked(items[1], chance)} in {year}?", ""),
    )
    return Paragraph("report", whole, (*questions[:5], *chance.sample(near, 2)))


Made = tuple[str, list[Question]]


def _money(chance: random.Random, style: _Style) -> str:
    word = {"thousands": "thousand", "millions": "million", "billions": "billion"}[style.scale]
    return f"{style.currency}{chance.uniform(1, 900):,.{chance.choice((0, 1, 1, 2))}f} {word}".strip()


def _movement(chance: random.Random, style: _Style, item: str, name: str) -> Made:
    now, before = max(style.years), max(style.years) - 1
    new, old, cause = _money(chance, style), _money(chance, style), chance.choice(CAUSES)
    percent = f"{chance.uniform(0.3, 60):.1f}%"
    verb = chance.choice(("increased", "rose", "decreased", "fell", "grew", "declined"))
    forms = (
        f"{item} {verb} by {percent} to {new} in {now} from {old} in {before}, primarily due to {cause}.",
        f"{item} in {now} was {new}, compared with {old} in {before}; the change of {percent} resulted from {cause}.",
        f"Due to {cause}, {_asked(item, chance)} {verb} {percent}, from {old} in {before} to {new} in {now}.",
        f"For {now}, {name} reported {_asked(item, chance)} of {new} ({before}: {old}), which {verb} {percent} "
        f"as a result of {cause}.",
    )
    low = _asked(item, chance)
    asked = [
        Question(f"What was {low} in {now}?", new),
        Question(chance.choice(("How much was {} in {}?", "What was the {} for {}?")).format(low, before), old),
        Question(
            chance.choice(
                ("Why did {} change in {}?", "What was the reason for the change in {} in {}?", "What drove {} in {}?")
            ).format(low, now),
            cause,
        ),
        Question(f"By what percentage did {low} change in {now}?", percent),
    ]
    return chance.choice(forms), chance.sample(asked, 2)


def _consists(chance: random.Random, style: _Style, item: str, name: str) -> Made:
    whole = chance.choice(WHOLES)
    parts = chance.sample(NATURES, chance.randint(2, 5))
    content = f"{', '.join(parts[:-1])} and {parts[-1]}"
    verb = chance.choice(("consist primarily of", "consist of", "mainly comprise", "primarily include", "relate to"))
    asked = (
        f"What do {whole} consist of?",
        f"What is included in {whole}?",
        f"What do {whole} primarily include?",
        f"What are the components of {whole}?",
    )
    return f"{whole[0].upper()}{whole[1:]} {verb} {content}.", [Question(chance.choice(asked), content)]


def _policy(chance: random.Random, style: _Style, item: str, name: str) -> Made:
    sentence, question, answer = chance.choice(POLICIES)
    years = str(chance.randint(2, 40))
    date = f"{chance.choice(MONTHS)} {chance.randint(1, 28)}, {chance.choice(style.years)}"
    place = {"years": years, "date": date, "name": name, "rate": f"{chance.uniform(1, 14):.2f}%"}
    return sentence.format(**place), [Question(question.format(**place), answer.format(**place))]


def _share(chance: random.Random, style: _Style, item: str, name: str) -> Made:
    first, second = chance.sample(AREAS, 2)
    one, two = f"{chance.randint(11, 70)}%", f"{chance.randint(2, 10)}%"
    year = max(style.years)
    forms = (
        f"{first} accounted for {one} of net sales in {year}, {second} for {two}.",
        f"In {year}, {one} of our revenue came from {first} and {two} from {second}.",
    )
    return chance.choice(forms), [
        Question(f"What percentage of sales came from {first} in {year}?", one),
        Question(f"How much of revenue did {second} account for?", two),
        Question("Which market contributed the larger share of sales?", first),
    ]


def _event(chance: random.Random, style: _Style, item: str, name: str) -> Made:
    other, price = company(chance), _money(chance, style)
    date = f"{chance.choice(MONTHS)} {chance.randint(1, 28)}, {chance.choice(style.years)}"
    verb, noun = chance.choice((("acquired", "acquire"), ("sold", "sell"), ("invested in", "invest in")))
    text = (
        f"On {date}, the Company {verb} {other} for {chance.choice(('a total of ', '', 'consideration of '))}{price}."
    )
    return text, [
        Question(f"When did the Company {noun} {other}?", date),
        Question(f"For how much did the Company {noun} {other}?", price),
        Question(f"Which business did the Company {noun} on {date}?", other),
    ]


def _people(chance: random.Random, style: _Style, item: str, name: str) -> Made:
    count, area = f"{chance.randint(90, 99_000):,}", chance.choice(AREAS)
    part = f"{chance.randint(10, 89):,}"
    text = f"As of {style.year_end}, {max(style.years)}, {name} employed {count} people, {part} of them in {area}."
    return text, [
        Question(chance.choice(("How many employees were there?", f"How many people did {name} employ?")), count),
        Question(f"How many employees worked in {area}?", part),
    ]
