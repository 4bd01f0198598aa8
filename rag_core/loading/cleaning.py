"""What of a file's characters becomes text: everything visible, and no control, formatting or broken characters.

Characters that a reader cannot see are a way to hide instructions or to reorder what is seen, so they are dropped:
controls, zero-width and bidirectional marks, tag characters, soft hyphens, byte-order marks and non-characters.
Zero-width joiners stay, because scripts and emoji need them.
"""

from __future__ import annotations

import re

__all__ = ["clean_text", "one_line"]

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile("[\x20-\x7e\n\t]*")
# Wider gaps say nothing more, and what looks for white space takes the square or the cube of their length.
_WIDE_GAP = re.compile(r"[ \t]{65,}")
_WIDEST_GAP = " " * 64
_WHITE_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    r"""Return `text` with `\n` line ends, ordinary spaces, 64 at most, and without characters that nobody can see."""
    if _PLAIN.fullmatch(text):
        return _WIDE_GAP.sub(_WIDEST_GAP, text)
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    text = _SURROGATES.sub("\ufffd", text)
    return _WIDE_GAP.sub(_WIDEST_GAP, _SPACES.sub(" ", text))


def one_line(text: str) -> str:
    """Return the cleaned `text` with every run of white space as one space, none at the ends."""
    return _WHITE_SPACE.sub(" ", clean_text(text)).strip()
