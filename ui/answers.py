"""An answer as HTML: its sentences with numbered source buttons, and in words whatever a reader should be wary of."""

from __future__ import annotations

from rag_core import Answer, Citation, Progress
from rag_core.answers.answering import CLOSEST
from ui.judging import thumbs_html
from ui.markup import attributes, escape, plain_name, shorten

__all__ = ["error_html", "final_html", "progress_words", "streaming_html", "waiting_html"]

_UNSUPPORTED = "No passage of your documents supports the underlined words. Check them before you rely on them."
_CUT = "The answer reached its length limit and stops early. Ask about a part of it for more."
_STOPPED = "Stopped before the end. What stands here was not checked against your documents."
_CLOSEST_LABEL = "What the model wrote could not be tied to your question. The passage nearest to it:"

_STAGES = {
    "reading": "Reading",
    "splitting": "Splitting into passages",
    "embedding": "Embedding",
    "saving": "Saving",
    "downloading": "Downloading the model",
    "converting": "Preparing the model",
    "loading": "Loading the model",
}


def progress_words(progress: Progress) -> str:
    """Return one step in words: stage, and how far where that is known."""
    words = _STAGES.get(progress.stage, progress.stage)
    if progress.total <= 0:
        return words
    if progress.stage in ("downloading", "converting", "loading"):
        return f"{words}, {min(100, round(100 * progress.done / progress.total))}%"
    unit = {"reading": "page ", "embedding": ""}.get(progress.stage, "")
    return f"{words}, {unit}{progress.done} of {progress.total}"


def waiting_html(turn_id: str, words: str) -> str:
    """Return what stands in the answer's place before its first word."""
    inner = f'<p class="rag-waiting" role="status"><span class="rag-dots" aria-hidden="true"></span>{escape(words)}</p>'
    return _frame(turn_id, "is-streaming", inner)


def streaming_html(turn_id: str, text: str) -> str:
    """Return an answer that is still being written. The page shows the last line only once writing has ended."""
    inner = (
        f'<div class="rag-text">{escape(text)}<span class="rag-caret" aria-hidden="true"></span></div>'
        f'<p class="rag-note rag-stopped">{_STOPPED}</p>'
    )
    return _frame(turn_id, "is-streaming", inner)


def error_html(message: str) -> str:
    """Return a failure in one line."""
    return f'<div class="rag-answer is-error" role="alert"><strong>No answer.</strong> {escape(message)}</div>'


def final_html(turn_id: str, answer: Answer, *, judged: bool = False) -> str:
    """Return a complete answer; `judged` puts the two thumbs under it."""
    foot = f'<div class="rag-foot">{thumbs_html(turn_id) if judged else ""}{_details(answer)}</div>'
    if answer.abstained:
        return _frame(turn_id, "is-abstained", _searched(answer) + _abstained(turn_id, answer) + foot)
    inner = f'{_searched(answer)}<div class="rag-text">{_sentences(turn_id, answer)}</div>'
    inner += _computed(turn_id, answer)
    if any(not sentence.supported for sentence in answer.sentences):
        inner += f'<p class="rag-note is-caution">{_UNSUPPORTED}</p>'
    if answer.finish_reason == "length":
        inner += f'<p class="rag-note">{_CUT}</p>'
    if answer.finish_reason == "cancelled":
        inner += f'<p class="rag-note">{_STOPPED}</p>'
    return _frame(turn_id, "is-final", inner + _source_line(turn_id, answer) + foot)


def _frame(turn_id: str, kind: str, inner: str) -> str:
    return f'<div class="rag-answer {kind}"{attributes(turn=turn_id)}>{inner}</div>'


def _searched(answer: Answer) -> str:
    """Return the line that says what was searched, where that is not the question as it was put."""
    if " ".join(answer.query.split()).casefold() == " ".join(answer.question.split()).casefold():
        return ""
    return f'<p class="rag-searched"><span>Searched for</span> {escape(answer.query)}</p>'


def _sentences(turn_id: str, answer: Answer) -> str:
    """Return the text with every sentence in an element of its own and its source buttons after it."""
    by_number = {citation.number: citation for citation in answer.citations}
    parts: list[str] = []
    position = 0
    for sentence in answer.sentences:
        parts.append(_between(answer.text[position : sentence.start]))
        position = sentence.end
        body = escape(answer.text[sentence.start : sentence.end])
        if not sentence.supported:
            parts.append(f'<span class="rag-unsupported">{body}</span><span class="rag-flag">unsupported</span>')
            continue
        chips = "".join(_chip(turn_id, by_number[number]) for number in sentence.citations if number in by_number)
        parts.append(f'<span class="rag-sentence">{body}</span>{chips}')
    parts.append(_between(answer.text[position:]))
    return "".join(parts)


def _between(text: str) -> str:
    """Return what stands between sentences; the words that introduce a quotation become a label of our own."""
    if CLOSEST in text:
        return f'<span class="rag-lead">{_CLOSEST_LABEL}</span>'
    return escape(text)


def _chip(turn_id: str, citation: Citation) -> str:
    label = f"Source {citation.number}: {plain_name(citation.document.name)}, page {citation.page}"
    action = attributes(rag="source", turn=turn_id, kind="citation", number=citation.number)
    return (
        f'<button type="button" class="rag-chip"{action} aria-label="{escape(label)}" title="{escape(label)}">'
        f"{citation.number}</button>"
    )


def _computed(turn_id: str, answer: Answer) -> str:
    """Return how a figure was computed: the formula, and each figure in it with the source it is taken from."""
    computation = answer.computation
    if computation is None:
        return ""
    spans = {(cited.document.id, cited.start, cited.end): cited for cited in answer.citations}
    rows = []
    for operand in computation.operands:
        cited = spans.get((operand.document.id, operand.row_start, operand.row_end))
        label = ", ".join(part for part in (operand.label, operand.period) if part)
        chip = _chip(turn_id, cited) if cited is not None else ""
        rows.append(f"<li><span>{escape(shorten(label, 80))}</span> <b>{escape(operand.text)}</b>{chip}</li>")
    return (
        f'<div class="rag-computed" role="group" aria-label="Computation"><p><span>Computed</span> '
        f'<b class="rag-formula">{escape(computation.formula)}</b></p><ul>{"".join(rows)}</ul></div>'
    )


def _source_line(turn_id: str, answer: Answer) -> str:
    """Return the row of sources under an answer: number, file and page, each opening its passage."""
    if not answer.citations:
        return ""
    items = []
    for citation in answer.citations:
        action = attributes(rag="source", turn=turn_id, kind="citation", number=citation.number)
        items.append(
            f'<button type="button" class="rag-source-link"{action}><b>{citation.number}</b>'
            f"<span>{escape(plain_name(citation.document.name, 36))}</span><i>p. {citation.page}</i></button>"
        )
    return f'<div class="rag-source-line" role="group" aria-label="Sources">{"".join(items)}</div>'


def _abstained(turn_id: str, answer: Answer) -> str:
    """Return the text of an answer that was withheld, why, and the nearest passages to judge for oneself."""
    parts = [
        '<p class="rag-verdict">Not found in your documents</p>',
        f'<div class="rag-text">{escape(answer.text)}</div>',
    ]
    if answer.reason:
        parts.append(f'<p class="rag-note">Why: {escape(answer.reason)}.</p>')
    nearest = []
    for rank, hit in enumerate(answer.hits[:3], start=1):
        action = attributes(rag="source", turn=turn_id, kind="hit", number=rank)
        name = escape(plain_name(hit.document.name, 36))
        nearest.append(
            f'<li><button type="button" class="rag-source-link"{action}><span>{name}</span><i>p. {hit.page}</i>'
            "</button>"
            f" {escape(shorten(hit.document.text[hit.focus.start : hit.focus.end], 110))}</li>"
        )
    if nearest:
        parts.append(f'<p class="rag-near">Nearest passages</p><ul class="rag-nearest">{"".join(nearest)}</ul>')
    return "".join(parts)


def _details(answer: Answer) -> str:
    """Return the folded line of how the answer came about."""
    seconds = answer.timings.get("total", 0.0)
    facts = [f"Model {answer.model}" if answer.computation is None else "Computed in code; no model was asked"]
    if not _searched(answer):
        facts.insert(0, "The question was searched as it stands")
    if answer.tokens.prompt:
        facts.append(f"{answer.tokens.prompt:,} tokens read, {answer.tokens.completion:,} written")
    facts.append(f"{len(answer.hits)} {'passage' if len(answer.hits) == 1 else 'passages'} found")
    if "first_token" in answer.timings and answer.tokens.completion:
        facts.append(f"first word after {answer.timings['first_token']:.1f} s")
    if answer.dropped_passages:
        facts.append(f"{answer.dropped_passages} lower-ranked passages left out for length")
    if answer.dropped_turns:
        facts.append(f"{answer.dropped_turns} older turns left out for length")
    supported = sum(sentence.supported for sentence in answer.sentences)
    count = len(answer.sentences)
    summary = f"{supported} of {count} sentence{'s' * (count != 1)} tied to a source, " if count else ""
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f'<details class="rag-details"><summary>{summary}{seconds:.1f} s</summary><ul>{listed}</ul></details>'
