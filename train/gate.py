"""The gate before any GPU time: what is wrong with the rows, what the tokenizer makes of them, and what a run costs.

Everything here is counted over all rows, with the same reader, encoder and plan that training uses.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from rag_core.prompting import defuse
from train.batching import Plan, padded_length
from train.encoding import Encoder, Example, limited
from train.errors import DataError, SettingsError
from train.findings import Effort, Finding, Part, Report, Severity, Source, Spread
from train.rows import COLUMNS, Row, Split, load_split, read_records
from train.settings import TrainSettings

__all__ = ["examine"]

_FEW_HELD_OUT = 100
_MANY_CUT = 0.01
_LONG_ANSWER = 80  # characters, from which on the same answer twice is no chance


def examine(
    settings: TrainSettings,
    encoder: Encoder,
    devices: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Report, Split | None]:
    """Return the report, and the rows that a run would use (None where they cannot be had).

    `on_progress` hears the number of rows encoded and of all. Raises DataError where a source cannot be read at all.
    """
    findings: list[Finding] = []
    names = list(dict.fromkeys(filter(None, (settings.data.train, settings.data.eval))))
    read = [_read(name, encoder, findings) for name in names]
    sources = tuple(source for source, _ in read)
    try:
        split = load_split(settings.data)
    except DataError as error:
        # Wrong columns are told already, and all of them.
        if not any(finding.severity == "error" for finding in findings):
            findings.append(Finding("error", str(error), "add rows, or name another source"))
        return Report(sources, (), 0, 0, None, _sorted(findings)), None
    overlap = _overlap(read[0][1], split, bool(settings.data.eval))
    similar = _check_overlap(split, overlap, findings)
    parts, kept = _measure(split, settings, encoder, findings, on_progress)
    effort = _effort(kept, settings, devices, findings) if kept else None
    return Report(sources, parts, overlap, similar, effort, _sorted(findings)), split


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = ("error", "warning", "note")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def _read(name: str, encoder: Encoder, findings: list[Finding]) -> tuple[Source, list[Row]]:
    """Return what a source holds and its rows whose columns are right."""
    types: dict[str, Counter[str]] = {}
    wrong: dict[str, list[int]] = {}
    rows: list[tuple[int, Row]] = []
    total = 0
    for number, record in read_records(name):
        total += 1
        for column in {**COLUMNS, **record}:
            types.setdefault(column, Counter())[_type_name(record.get(column), column in record)] += 1
        bad = [column for column, optional in COLUMNS.items() if not _is_text(record.get(column), optional)]
        for column in bad:
            wrong.setdefault(column, []).append(number)
        if not bad:
            rows.append((number, Row(*(str(record.get(column) or "").strip() for column in COLUMNS))))
    for column, numbers in wrong.items():
        text = f"{name}: column {column} is no text in {_rows(numbers)} ({', '.join(types[column])})"
        findings.append(Finding("error", text, "the columns are instruction, input and output, all text"))
    if not total:
        findings.append(Finding("error", f"{name} holds no rows", "name another file or data set"))
    columns = {column: ", ".join(kinds) for column, kinds in types.items()}
    return Source(name, columns, total, *_check_content(name, rows, encoder, findings)), [row for _, row in rows]


def _is_text(value: Any, optional: bool) -> bool:
    return isinstance(value, str) or (optional and value is None)


def _type_name(value: Any, present: bool) -> str:
    names = {str: "text", type(None): "empty" if present else "missing"}
    return names.get(type(value), type(value).__name__)


def _check_content(
    name: str, rows: Sequence[tuple[int, Row]], encoder: Encoder, findings: list[Finding]
) -> tuple[int, int, int, int, int]:
    """Add findings on the text of the rows; return the counts of Source in its order."""
    no_question = [number for number, row in rows if not row.question]
    no_answer = [number for number, row in rows if not row.answer]
    whole = [(number, row) for number, row in rows if row.question and row.answer]
    times = Counter(row for _, row in whole)
    duplicates = sum(times.values()) - len(times)
    answers = Counter((row.question, row.context) for row in times)
    conflicts = [number for number, row in whole if answers[row.question, row.context] > 1]
    marked = [number for number, row in whole if _has_control_token(row, encoder)]
    if empty := sorted({*no_question, *no_answer}):
        text = f"{name}: question or answer is empty in {_rows(empty)}"
        findings.append(Finding("warning", text, "they are left out; mend them if they should count"))
    if duplicates:
        text = f"{name}: {_count(duplicates, 'row')} word for word as another"
        findings.append(Finding("note", text, "each is used once"))
    if conflicts:
        text = f"{name}: the same question has different answers in {_rows(conflicts)}"
        findings.append(Finding("warning", text, "keep the better answer of each"))
    if marked:
        text = f"{name}: control tokens of a chat format stand in the text of {_rows(marked)}"
        findings.append(Finding("warning", text, "they are broken, so that no text ends a turn; clean the rows"))
    return len(no_question), len(no_answer), duplicates, len(conflicts), len(marked)


def _has_control_token(row: Row, encoder: Encoder) -> bool:
    text = "\n".join((row.question, row.context, row.answer))
    return defuse(text) != text or any(token in text for token in encoder.tokenizer.control_tokens)


def _rows(numbers: Sequence[int], shown: int = 5) -> str:
    first = ", ".join(f"{number:,}" for number in numbers[:shown])
    more = f", … ({len(numbers):,} rows)" if len(numbers) > shown else ""
    return f"row{'s' if len(numbers) > 1 else ''} {first}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _overlap(rows: Iterable[Row], split: Split, named: bool) -> int:
    """Return the number of training rows that were left out because their question is held out."""
    held_out = {(row.question, row.context) for row in split.eval}
    usable = {row for row in rows if row.question and row.answer}
    found = sum((row.question, row.context) in held_out for row in usable)
    # Without a source of their own, the held-out rows come from these.
    return found if named else found - len(split.eval)


def _check_overlap(split: Split, overlap: int, findings: list[Finding]) -> int:
    """Return how many held-out rows stand in training in another spelling."""
    if overlap:
        text = f"{_count(overlap, 'training row')} with the question of a held-out one"
        findings.append(Finding("note", text, "they are left out of training"))
    questions = {_normalised(row.question, row.context) for row in split.train}
    similar = sum(_normalised(row.question, row.context) in questions for row in split.eval)
    if similar:
        text = f"{_count(similar, 'held-out row')} in training too, but for case, spaces and punctuation"
        findings.append(Finding("warning", text, "scores on them show memory; take them out of data.eval"))
    answers = {row.answer for row in split.train if len(row.answer) >= _LONG_ANSWER}
    if same := sum(row.answer in answers for row in split.eval):
        text = f"{_count(same, 'held-out row')} with a long answer that training gives to another question"
        findings.append(Finding("note", text, "scores on them may show memory"))
    if len(split.eval) < _FEW_HELD_OUT:
        text = f"{_count(len(split.eval), 'row')} held out"
        findings.append(Finding("note", text, f"small differences of scores mean nothing under {_FEW_HELD_OUT}"))
    return similar


def _normalised(*texts: str) -> str:
    return "\0".join(" ".join(re.findall(r"\w+", text.casefold())) for text in texts)


def _measure(
    split: Split,
    settings: TrainSettings,
    encoder: Encoder,
    findings: list[Finding],
    on_progress: Callable[[int, int], None],
) -> tuple[tuple[Part, ...], list[Example]]:
    """Return both parts in tokens, and the training examples as a run would see them."""
    if encoder.pad_id == encoder.end_id:
        text = f"Token {encoder.pad_id} both fills short rows and ends a turn"
        findings.append(Finding("error", text, "name a pad_token in the base's tokenizer_config.json"))
    total, done = len(split.train) + len(split.eval), 0
    parts: list[Part] = []
    kept: list[Example] = []
    sides: tuple[tuple[Literal["train", "eval"], tuple[Row, ...]], ...] = (("train", split.train), ("eval", split.eval))
    for name, rows in sides:
        lengths, unended, wordless = [], 0, 0
        for row in rows:
            example = encoder.encode(row)
            answer = example.ids[example.answer_start :]
            # Once and at the end: a model that never saw the end in the loss never stops.
            unended += answer.count(encoder.end_id) != 1 or answer[-1] != encoder.end_id
            wordless += len(answer) < 2
            lengths.append((example.answer_start, len(answer)))
            done += 1
            on_progress(done, total)
            used = limited(example, settings.data.max_tokens, settings.data.overlong)
            if name == "train" and used is not None:
                kept.append(used)
        if unended:
            text = (
                f"{_count(unended, f'{name} row')} without the end of turn exactly once, at the end of what is learnt"
            )
            findings.append(Finding("error", text, "the tokenizer's eos_token or chat template does not fit the base"))
        if wordless:
            text = f"{_count(wordless, f'{name} row')} with an answer of no token"
            findings.append(Finding("warning", text, "they teach to say nothing; take them out"))
        parts.append(_part(name, rows, lengths, settings, findings))
    return tuple(parts), kept


def _part(
    name: Literal["train", "eval"],
    rows: Sequence[Row],
    lengths: Sequence[tuple[int, int]],
    settings: TrainSettings,
    findings: list[Finding],
) -> Part:
    limit, drop = settings.data.max_tokens, settings.data.overlong == "drop"
    over = sum(prompt + answer > limit for prompt, answer in lengths)
    filled = sum(prompt >= limit for prompt, _ in lengths)
    lost = over if drop else filled
    if lost == len(rows):
        text = f"No {name} row has room for an answer in data.max_tokens {limit}"
        findings.append(Finding("error", text, "raise data.max_tokens and batch.tokens"))
    elif lost:
        why = "longer than" if drop else "a prompt that alone fills"
        findings.append(
            Finding("warning", f"{_count(lost, f'{name} row')} left out: {why} {limit} tokens", "raise data.max_tokens")
        )
    if cut := over - lost:
        severity: Severity = "warning" if cut > _MANY_CUT * len(rows) else "note"
        text = f"{_count(cut, f'{name} row')} longer than {limit} tokens: the end of the answer is cut"
        findings.append(Finding(severity, text, "raise data.max_tokens, or --set data.overlong=drop"))
    with_context = sum(bool(row.context) for row in rows)
    if name == "train" and not with_context:
        text = "No training row has a context"
        findings.append(Finding("note", text, "add some with `input`: the chat always answers from passages"))
    spreads = (_spread([prompt for prompt, _ in lengths]), _spread([answer for _, answer in lengths]))
    whole = _spread([prompt + answer for prompt, answer in lengths])
    return Part(name, len(rows), with_context, *spreads, whole, cut, lost, tuple(lengths))


def _spread(lengths: Sequence[int]) -> Spread:
    ordered = sorted(lengths)
    return Spread(ordered[0], *(ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95, 1.0)))


def _effort(
    examples: Sequence[Example], settings: TrainSettings, devices: int, findings: list[Finding]
) -> Effort | None:
    lengths = tuple(len(example) for example in examples)
    try:
        plan = Plan(lengths, settings.batch, settings.optim, settings.data.seed, devices)
    except SettingsError as error:
        findings.append(Finding("error", str(error), "change either"))
        return None
    epoch = plan.epoch(0)
    batches = [batch for step in epoch for batch in step]
    multiple = settings.batch.pad_multiple
    padded = sum(len(batch) * padded_length(max(lengths[row] for row in batch), multiple) for batch in batches)
    filled = sum(lengths[row] for batch in batches for row in batch)
    answers = sum(len(example) - example.answer_start for example in examples)
    return Effort(devices, sum(lengths), answers, 1 - filled / padded, len(epoch), plan.total_steps)
