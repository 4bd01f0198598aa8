"""Questions with expected answers, one JSON object a line.

| field | meaning |
|---|---|
| `question` | the question; needed in every row |
| `answer` or `answers` | the expected answer, or a list of which any is right |
| `answerable` | false where the documents do not hold the answer; then no answer is expected |
| `document` | name or path of the document to ask; without it, all of them are asked |
| `text` | in its place: the document itself, as text |
| `evidence` | the words, or a list of them, that a right citation quotes; without it, those of the answer |
| `id`, `kind` | a name of the row's own, and the group it is counted in |

A set of the TAT-QA form has more: `answer_list` (parts that all belong to the answer), `scale` and `derivation` (the
arithmetic over cells that gives the answer). A row with `verdict` is one of the app's thumbs (rag_core.evaluation.feedback): what
was found good is expected, what was found bad is counted where it is said again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_core.errors import EvaluationError
from rag_core.evaluation.scoring import holds

__all__ = ["EvalQuestion", "question_from", "read_questions"]

_MOST_BYTES = 256 * 1024 * 1024
_PARTS = re.compile(r"##")
_OPERAND = re.compile(r"\d[\d,]*(?:\.\d+)?")
# How many are averaged, the 1 of "a / b - 1" and the 100 of a percentage stand in no document.
_COUNT = re.compile(r"/\s*(?:[2-9]|1[0-2])\s*$")
_CONSTANT = re.compile(r"[-*/]\s*1(?:00)?\s*$")


@dataclass(frozen=True, slots=True)
class EvalQuestion:
    """A question, and what a right answer and a right citation have.

    Any of `answers` is right as a whole; `parts`, where given, all belong into the answer, as written in the document,
    and `figures` are the same with their scale. `operands` are the cells that a computed answer must cite. `rejected`
    are answers that were found bad; `thumb` tells that a visitor of the app judged it.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    answerable: bool = True
    document: str = ""
    text: str = ""
    evidence: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    kind: str = ""
    thumb: bool = False

    @property
    def contained(self) -> tuple[tuple[str, ...], ...]:
        """Groups of spellings; an answer holds the expected one where it has one spelling of each group."""
        return tuple((part,) for part in self.parts) if self.parts else ((self.answers,) if self.answers else ())

    @property
    def cited(self) -> tuple[tuple[str, ...], ...]:
        """The same for the quotes of an answer: the cells of a computed answer, else the answer."""
        return tuple((operand,) for operand in self.operands) or self.contained


def read_questions(path: str | Path) -> list[EvalQuestion]:
    """Return the questions of a JSON Lines file. Raises EvaluationError, which names the line and what it lacks."""
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EvaluationError(f"{path} has more than {_MOST_BYTES // 1024**2} MiB; split it")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read as UTF-8 text: {error}; give a JSON Lines file") from error
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise EvaluationError(f"{place} is not JSON ({error}); each line is one object") from error
        questions.append(question_from(row, place, f"{number}"))
    if not questions:
        raise EvaluationError(f"{path} has no questions; each line is an object such as {_EXAMPLE}")
    return questions


_EXAMPLE = '{"question": "What was revenue in 2023?", "answer": "$4.1 million", "document": "report.pdf"}'


def question_from(row: Any, place: str, name: str = "") -> EvalQuestion:
    """Return the question of one row. Raises EvaluationError, which begins with `place`."""
    if not isinstance(row, Mapping):
        raise EvaluationError(f"{place} is no object; each line is one such as {_EXAMPLE}")
    question = _text(row, "question", place)
    if not question:
        raise EvaluationError(f"{place} has no `question`; each line is an object such as {_EXAMPLE}")
    kept: dict[str, Any] = {
        "id": _text(row, "id", place) or name,
        "question": question,
        "document": _text(row, "document", place) or _text(row, "file", place),
        "text": _text(row, "text", place),
        "evidence": _texts(row, "evidence", place),
        "kind": _text(row, "kind", place) or _text(row, "answer_type", place),
    }
    if "verdict" in row:
        return EvalQuestion(**kept | _judged(row, place))
    answers = _texts(row, "answers", place) or _texts(row, "answer", place)
    answerable = row.get("answerable", bool(answers))
    if not isinstance(answerable, bool):
        raise EvaluationError(f"{place}: `answerable` is {answerable!r}; it must be true or false")
    if answerable and not answers:
        raise EvaluationError(f"{place} has no `answer`; give one, or `answerable`: false where there is none")
    told = "answerable" in row or ("answer" in row and row["answer"] is None) or row.get("answers") == []
    if not answerable and not told:
        raise EvaluationError(f"{place} has no `answer`; give one, or `answerable`: false where there is none")
    if not answerable:
        return EvalQuestion(**kept, answerable=False)
    return EvalQuestion(**kept | {"answers": answers} | _composed(row, place))


def _composed(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return parts, figures and operands of a row of the TAT-QA form; nothing for another."""
    parts = _texts(row, "answer_list", place)
    if not parts:
        return {}
    scale, derivation = _text(row, "scale", place), _text(row, "derivation", place)
    unit = {"": "", "percent": "%"}.get(scale, f" {scale}")
    # The evidence of this form is whole paragraphs and tables: that a citation lies in it says too little.
    evidence = "\n".join(_texts(row, "evidence_text", place))
    found = _PARTS.split(derivation) if "##" in derivation else _OPERAND.findall(_cleaned(derivation))
    return {
        "evidence": (),
        "parts": parts,
        "figures": tuple(part + unit for part in parts),
        "operands": tuple(dict.fromkeys(item.strip() for item in found if holds(evidence, item))),
    }


def _cleaned(derivation: str) -> str:
    derivation = _CONSTANT.sub("", derivation)
    return _COUNT.sub("", derivation) if "+" in derivation else derivation


def _judged(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return what a thumb says: up, this answer (or this silence) is right; down, this answer is wrong."""
    verdict, said, abstained = row["verdict"], _text(row, "answer", place), bool(row.get("abstained"))
    if verdict not in ("up", "down"):
        raise EvaluationError(f"{place}: `verdict` is {verdict!r}; it must be up or down")
    cited = row.get("citations") or []
    if not isinstance(cited, list) or not all(isinstance(item, Mapping) for item in cited):
        raise EvaluationError(f"{place}: `citations` must be a list of objects with `quote` and `document`")
    rests_on = [item.get("name") for item in row.get("documents") or [] if isinstance(item, Mapping)]
    documents = list(dict.fromkeys([_text(item, "document", place) for item in cited] or map(str, rests_on)))
    facts: dict[str, Any] = {
        "document": documents[0] if len(documents) == 1 else "",
        "kind": f"thumbs {verdict}",
        "thumb": True,
    }
    if query := _text(row, "query", place):
        facts["question"] = query  # what a question that follows others asks, whole
    if verdict == "up":
        quotes = tuple(_text(item, "quote", place) for item in cited)
        return facts | ({"answerable": False} if abstained else {"answers": (said,), "evidence": quotes})
    return facts | {"rejected": () if abstained else (said,)}


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise EvaluationError(f"{place}: `{key}` is {value!r}; it must be a text")
    return str(value).strip()


def _texts(row: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    value = row.get(key)
    if isinstance(value, list):
        return tuple(text for text in (_text({key: item}, key, place) for item in value) if text)
    text = _text(row, key, place)
    return (text,) if text else ()
