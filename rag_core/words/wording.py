"""Text to words as they are matched: folded case and accents, one form of a figure, no function words, light stems."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["asks_only", "names_period", "quarters", "short_years", "stem", "stems", "words"]

_FUNCTION_WORDS = (
    "a an and are as at be been being by can could did do does for from had has have how i if in into is it its may "
    "might must of on or our shall should so such than that the their them then there these they this those to was we "
    "were what when where which who whom whose why will with would you your"
)
# How an answer is asked for rather than what it is about; as stems. Words that relate things (between, any, more, much)
# are not among them: with half their weight, excerpts and paraphrases are found worse.
_ASKING_WORDS = frozenset(
    "give state compute calculate find show tell list explain describe please answer question respond response rely "
    "based base basis use using used assume data detail information respective respectively following roughly "
    "approximately about around per year fiscal fy financial annual end ended close million thousand billion usd dollar "
    "round decimal report reported".split()
)
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TERM = re.compile(
    r"\d+(?:[.,]\d+)*"  # 1,452.4
    r"|(?:[^\W\d_]\.){2,}"  # U.S.
    rf"|[{_CJK}]"  # scripts without spaces: each sign a term, neighbours are joined by the phrases
    rf"|[^\W\d_{_CJK}]+(?:['&][^\W\d_{_CJK}]+)*"  # words, R&D, company's
)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
# A year of two digits, where it is one for certain: FY22, FY'22, Q3'22, 3Q22.
_SHORT_YEAR = re.compile(r"\b(?:fy ?'?|q[1-4] ?'|[1-4]q ?'?)(\d\d)(?![\d%])")
_QUARTER = re.compile(r"\b(?:q([1-4])|([1-4])q|(first|second|third|fourth)(?: fiscal)? quarter)(?![a-z])")
_ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4"}


def words(text: str) -> list[str]:
    """Return the words of `text` that are not function words.

    Letter case, accents and the separators of thousands are dropped, so `$1,452.40` and `1452.4` are one word, and
    `(1,163)` is `1163`.
    """
    return [word for match in _TERM.finditer(_folded(text)) if (word := _word(match.group())) not in _STOP_WORDS]


def stems(text: str) -> list[str]:
    """Return the words of `text` without their plural endings."""
    return [stem(word) for word in words(text)]


def stem(word: str) -> str:
    """Return `word` without a plural ending (the S-stemmer of Harman 1991); heavier stemmers ranked worse."""
    if len(word) > 4 and word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and not word.endswith(("aes", "ees", "oes", "ses", "xes", "shes", "ches")):
        return word[:-1]
    if len(word) > 4 and word.endswith(("sses", "xes", "shes", "ches")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is")) else word


def short_years(text: str) -> list[str]:
    """Return the years that `text` writes with two digits, in full: `2022` for FY22, Q3'22 and 3Q22."""
    return [f"{'19' if digits >= '50' else '20'}{digits}" for digits in _SHORT_YEAR.findall(_folded(text))]


def names_period(text: str) -> bool:
    """Return whether `text` names a year or a quarter of one: 2022, FY22, Q3'22."""
    return _YEAR.search(text) is not None or bool(_SHORT_YEAR.search(_folded(text)))


def quarters(text: str) -> list[str]:
    """Return the quarters that `text` names, `1` to `4`: `3` for Q3, 3Q22 and the third fiscal quarter."""
    return [first or second or _ORDINALS[word] for first, second, word in _QUARTER.findall(_folded(text))]


def asks_only(stemmed: str) -> bool:
    """Return whether a stem says how to answer (`compute`, `millions`, `fiscal`) rather than what is asked."""
    return stemmed in _ASKING_WORDS


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Compatibility forms fold ligatures and full-width digits; marks come off letters (é, ü) but make up Hangul.
    decomposed = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    kept = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return unicodedata.normalize("NFC", kept).lower()


def _word(found: str) -> str:
    if found[0].isdigit():
        number = found.replace(",", "")
        # 19.0% and 19% are the same figure; 1.2.3 is a numbered section.
        return number.rstrip("0").rstrip(".") if number.count(".") == 1 else number
    return found.replace(".", "").removesuffix("'s")
