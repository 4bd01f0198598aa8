"""Names of files as they are kept and shown: hostile input, brought into a form that is safe on any screen."""

from __future__ import annotations

import re
import unicodedata

from rag_core.loading.cleaning import one_line

__all__ = ["document_name", "shown_name"]

_MOST_CHARACTERS = 120
_SHOWN_CHARACTERS = 60


def document_name(name: str) -> str:
    r"""Return the base name of `name`, with no path (`/` or `\`), control or bidirectional characters.

    At most 120 characters: a longer one loses its middle, so that the extension stays. Never empty, `.` or `..`.
    """
    base = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    base = one_line(unicodedata.normalize("NFC", base))
    base = "".join(character for character in base if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co"))
    return _shortened(base, _MOST_CHARACTERS) if base.strip(". ") else "unnamed"


def shown_name(name: str) -> str:
    """Return `name` as messages show it: the document name, at most 60 characters."""
    return _shortened(document_name(name), _SHOWN_CHARACTERS)


def _shortened(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    tail = 20
    return name[: most - tail - 1] + "…" + name[-tail:]
