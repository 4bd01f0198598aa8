"""Thumbs under an answer: their markup, where verdicts are kept, and what the page is told of it."""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
from pathlib import Path

from rag_core.evaluation.feedback import FeedbackStore
from ui.environment import on_space
from ui.markup import attributes
from ui.settings import AppSettings

__all__ = ["feedback_place", "feedback_store", "judged_html", "thumbs_html"]


def feedback_store(settings: AppSettings) -> FeedbackStore | None:
    """Return where verdicts are kept, or None where the settings say that none are asked for.

    On a Space, which is public, they are kept in a folder that goes with the process, whatever the setting.
    """
    if settings.feedback_file.lower() in ("off", "false", "no", "0"):
        return None
    if not on_space():
        return FeedbackStore(Path(settings.feedback_file))
    folder = tempfile.mkdtemp(prefix="ragoptimize-feedback-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return FeedbackStore(Path(folder) / "feedback.jsonl")


def feedback_place(settings: AppSettings) -> str:
    """Return in words where verdicts are kept; nothing where none are."""
    if settings.feedback_file.lower() in ("off", "false", "no", "0"):
        return ""
    return (
        "on this server until it restarts" if on_space() else f"in {Path(settings.feedback_file).name} on this server"
    )


def thumbs_html(turn_id: str) -> str:
    """Return the two buttons under an answer; the page marks the one that is kept."""
    buttons = "".join(
        f'<button type="button" class="rag-thumb is-{verdict}"{attributes(rag="judge", turn=turn_id, verdict=verdict)}'
        f' aria-pressed="false" aria-label="{words}" title="{words}"></button>'
        for verdict, words in (("up", "This answer is right"), ("down", "This answer is wrong"))
    )
    return (
        f'<div class="rag-thumbs" role="group" aria-label="Your verdict"{attributes(judged=turn_id)}>{buttons}'
        '<span class="rag-judged" role="status"></span></div>'
    )


def judged_html(turn_id: str, verdict: str | None) -> str:
    """Return the element that tells the page which verdict is kept: empty for none, None where keeping it failed."""
    # A token of its own each time: the page takes note of every one, also of the same verdict again.
    values = attributes(turn=turn_id, verdict=verdict or "", kept=int(verdict is not None), token=secrets.token_hex(4))
    return f'<span class="rag-verdict-kept"{values}></span>'
