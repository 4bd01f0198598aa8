"""What the command line writes: text made safe for a terminal, one progress line, and the notes under an answer."""

from __future__ import annotations

import sys
import time
import unicodedata
from types import TracebackType

from rag_core.records import Answer, Progress

__all__ = ["ProgressLine", "note", "plain", "print_answer_notes", "write"]


def plain(text: str, keep: str = "") -> str:
    """Return `text` without control and bidirectional-override characters, which could rewrite a terminal's screen."""
    return "".join(
        character
        for character in text
        if character in keep or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )


def write(text: str) -> None:
    """Write to stdout at once, so that a streamed answer appears as it is made."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line to stderr."""
    print(plain(text), file=sys.stderr, flush=True)


def print_answer_notes(answer: Answer) -> None:
    """Write sources and unsupported sentences to stdout, as parts of the answer, and what else needs telling to stderr."""
    if answer.computation is not None:
        write(f"\nComputed: {plain(answer.computation.formula)}\n")
        for operand in answer.computation.operands:
            unit = f" {operand.unit}" if operand.unit not in ("", "%") else ""
            place = f"{operand.label}, {operand.period}" if operand.period else operand.label
            write(f"  {plain(place)}: {plain(operand.text)}{plain(unit)}\n")
    for sentence in answer.sentences:
        # Where only the answer is kept, in a file or a pipe, the mark must be kept with it.
        if not sentence.supported:
            write(f"\nNo passage supports: {plain(sentence.text)}\n")
    if answer.citations:
        write("\nSources\n")
    for citation in answer.citations:
        quote = plain(" ".join(citation.quote.split()))
        shown = quote if len(quote) <= 240 else quote[:237] + "..."
        write(f'[{citation.number}] {plain(citation.document.name)}, page {citation.page}: "{shown}"\n')
    if answer.abstained:
        note(f"No answer: {answer.reason}.")
    if answer.query != answer.question:
        note(f"Searched for: {answer.query}")
    if answer.finish_reason == "length":
        note("The answer was cut at its longest length; raise it with --max-new-tokens.")
    if answer.dropped_passages:
        note(f"{answer.dropped_passages} lower-ranked passages did not fit the model's context.")


class ProgressLine:
    """A progress callback that keeps one line up to date on a terminal, and writes one line a stage elsewhere.

    Nothing is shown for work that ends within a second.
    """

    def __init__(self, name: str, *, quiet: bool) -> None:
        self._name = plain(name)
        self._quiet = quiet
        self._started = time.monotonic()
        self._last = 0.0
        self._stage = ""
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        """Show `progress`."""
        now = time.monotonic()
        if self._quiet or now - self._started < 1.0:
            return
        terminal = sys.stderr.isatty()
        if progress.stage == self._stage and (not terminal or now - self._last < 0.1):
            return
        self._stage, self._last = progress.stage, now
        count = f" {progress.done} of {progress.total}" if progress.total else ""
        line = f"{self._name}: {progress.stage}{count}{' ' + plain(progress.detail) if progress.detail else ''}"
        if terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._shown = True
        else:
            note(line)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
