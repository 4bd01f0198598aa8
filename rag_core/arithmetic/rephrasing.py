"""Questions as analysts type them, put into the words that `questions` reads: "X less Y", "how far below Y was X".

Only what keeps its meaning is put otherwise; text is in small letters with plain quotes, see `wording.folded`.
"""

from __future__ import annotations

import re

from rag_core.arithmetic.phrases import DIRECTION, VERB

__all__ = ["rephrased"]

_PERCENT = r"(?:per ?cent|percentage(?: terms)?|pct|%)"
_ASKS = r"(?:by )?(?:how much|how far|what amount|how many (?:\w+ )?points|(?:what|how many) per ?cent(?:age)?)"
_DID = r"(?:did|does|do|has|have|had)"
_UP = (
    r"(?:go|went|gone|come|came|move|moved) up|climb(?:ed)?|gain(?:ed)?|expand(?:ed)?|widen(?:ed)?|edge(?:d)? up|pick(?:ed)? up|"
    r"step(?:ped)? up|be (?:raised|lifted|increased)|lengthen(?:ed)?|appreciate(?:d)?|swell(?:ed)?|jump(?:ed)?"
)
_DOWN = (
    r"(?:go|went|gone|come|came|move|moved) down|slip(?:ped)?|shrink|shrank|narrow(?:ed)?|contract(?:ed)?|"
    r"weaken(?:ed)?|slid(?:e)?|"
    r"sink|sank|dip(?:ped)?|ease(?:d)?|step(?:ped)? down|be (?:cut|lowered|reduced)|shorten(?:ed)?|tighten(?:ed)?|plunge(?:d)?|"
    r"depreciate(?:d)?"
)
# What neither rises nor falls by its name: the size of the change is asked for.
_EITHER = r"improve(?:d)?|worsen(?:ed)?|deteriorate(?:d)?|shift(?:ed)?|move(?:d)?"
_SHORT = r"fall short of|fell short of|miss(?:ed)?|lag(?:ged)?(?: behind)?|trail(?:ed)?|undershoot|undershot|stay(?:ed)? below"
_OVER = r"exceed(?:ed)?|beat|surpass(?:ed)?|outstrip(?:ped)?|overshoot|overshot|top(?:ped)?|outweigh(?:ed)?"

# Whose margin; a change or a mean of margins is none.
_WHO = rf"(?P<who>(?:(?!.*\b(?:{DIRECTION}|difference|average|gap|spread)\b.* margin).+? )?)"

_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\bbase pay\b", "base salary"),
        (r"\bby what amount\b|\bhow far(?= did| has| have| had)", "by how much"),
        (r"\bhow many points\b", "how many percentage points"),
        # "Sales rose by how much", "change in sales, in percent", "an increase of what percentage".
        (
            rf"^\W*(?P<rest>.+?) (?P<verb>{VERB}|{_UP}|{_DOWN}) (?:by )?(?P<ask>how much|what {_PERCENT}|"
            rf"how many percentage points)\b",
            r"by \g<ask> did \g<rest> \g<verb>",
        ),
        (
            rf"\b(?P<what>{DIRECTION})(?P<rest> (?:in|of) .+?),? (?:in|as a) {_PERCENT}\W*$",
            r"percentage \g<what>\g<rest>",
        ),
        (r"\b(?:gap|spread|delta|distance|range)(?= between\b)", "difference"),
        (
            r"\bhow many (?P<things>.+?) (?:did|has|have|had) (?P<rest>.+?) (?:add(?:ed)?|gain(?:ed)?)\b",
            r"by how much did \g<rest> \g<things> increase",
        ),
        (
            r"\bhow many (?P<things>.+?) (?:did|has|have|had) (?P<rest>.+?) (?:los[et]|shed|cut)\b",
            r"by how much did \g<rest> \g<things> decrease",
        ),
        (r"\bhow much,? in (?:per ?cent|percentage terms|%),? (did|has|have)\b", r"by what percent \1"),
        (
            rf"^\W*(?:by )?how much (did|has|have) (?P<rest>.*\S),? (?:in|as a) {_PERCENT}\W*$",
            r"by what percent \1 \g<rest>",
        ),
        # "Revenue growth" is a rate; what grows by its own name, as a rate of growth does, is left alone.
        (
            r"^\W*what (?:was|is) (?:the )?(?P<what>(?!.*\b(?:average|rate|annual|economic|population)\b)[^?]+?) "
            r"growth(?P<when>(?: (?:in|for|of))?(?: (?:fy ?)?(?:20)?\d\d)?)\W*$",
            r"what was the percentage change in \g<what>\g<when>",
        ),
        # How one figure stands to another.
        (
            r"\bhow (?:far|much) (?:below|under|short of|behind) (?P<second>.+?) (?P<be>was|were|is|are|did|has) (?P<first>.+)",
            r"how much lower \g<be> \g<first> than \g<second>",
        ),
        (
            r"\bhow (?:far|much) (?:above|over|ahead of|beyond) (?P<second>.+?) (?P<be>was|were|is|are|did|has) (?P<first>.+)",
            r"how much higher \g<be> \g<first> than \g<second>",
        ),
        (
            rf"\b{_ASKS} {_DID} (?P<first>.+?) (?:{_SHORT}) (?P<second>.+)",
            r"how much lower was \g<first> than \g<second>",
        ),
        (
            rf"\b{_ASKS} {_DID} (?P<first>.+?) (?:{_OVER}) (?P<second>.+)",
            r"how much higher was \g<first> than \g<second>",
        ),
        # Up, down, or either.
        (rf"(?P<ask>\b(?:{_ASKS}) (?:{_DID}|was|were) .+?)\b(?:{_UP})\b", r"\g<ask>increase"),
        (rf"(?P<ask>\b(?:{_ASKS}) (?:{_DID}|was|were) .+?)\b(?:{_DOWN})\b", r"\g<ask>decrease"),
        (rf"\b(?:{_ASKS}) {_DID} (?P<rest>.+?)\b(?:{_EITHER})\b(?: by\b)?", r"difference in \g<rest>"),
        (
            r"\bby how much (?:was|were) (?P<rest>.+?)\b(?:raised|lifted|increased)\b",
            r"by how much did \g<rest>increase",
        ),
        (r"\bby how much (?:was|were) (?P<rest>.+?)\b(?:cut|lowered|reduced)\b", r"by how much did \g<rest>decrease"),
        (rf"\b{_PERCENT} cut\b", "percentage decrease"),
        # Margins by their definition, shares, times, sums.
        (
            rf"\bwhat (?:was|is|were|are) {_WHO}(?P<kind>operating|gross|net)(?: profit)? margin\b(?P<rest>[^?]*)",
            r"\g<who>\g<kind> profit \g<rest> as a share of \g<who> revenue \g<rest>",
        ),
        (
            rf"\bwhat (?:was|is|were|are) {_WHO}(?P<kind>(?:adjusted )?ebitd?a?) margin\b(?P<rest>[^?]*)",
            r"\g<who>\g<kind> \g<rest> as a share of \g<who> revenue \g<rest>",
        ),
        (
            rf"\bhow much of (?P<whole>.+?) (?P<be>was|were|is|are|came|went) (?P<part>.+?),? (?:in|as a) {_PERCENT}\W*$",
            r"what percentage of \g<whole> \g<be> \g<part>",
        ),
        (
            rf"\b(?:what|which) (?:proportion|fraction|portion|part) (?P<rest>of .+?),? (?:in|as a) {_PERCENT}\W*$",
            r"what share \g<rest>",
        ),
        (
            r"\bhow (?:big|large|great|high|small) an? (?:share|part|portion|proportion|percentage|fraction) (?=of|in)",
            "what share ",
        ),
        (r"\bwhat part (?=of\b)", "what share "),
        (
            r"\b(?:what|how (?:large|big|high)) (?:was|is|were|are) (?P<part>.+?)'s? (?:percentage )?(?:share|"
            r"proportion|percentage) of "
            r"(?P<whole>.+)",
            r"\g<part> as a percentage of \g<whole>",
        ),
        (rf"\b(?:as|in) {_PERCENT} of\b", "as a percentage of"),
        (
            r"\bhow many times (?:as )?(?:bigger|larger|greater|higher|big|large|great|high|much) (?:was|were|is|"
            r"are) (?P<first>.+?) "
            r"(?:than|as) (?P<second>.+)",
            r"ratio of \g<first> to \g<second>",
        ),
        # One quantity of two rows, where not each is asked for.
        (
            r"^\W*how (?:much|many) (?!more|fewer|less|higher|lower|of\b|points|percent)(?P<first>.+? (?:in|on|for|by|"
            r"from|at) [^,]+? and [^,]+)$",
            r"sum of \g<first>",
        ),
        (r"\bwhat (?:is|was) (?P<first>.+?) plus (?P<second>.+)", r"sum of \g<first> and \g<second>"),
        (
            r"\bhow many times (?:over )?(?:did|does|do|was|were|is|are) (?P<first>.+?) cover(?:ed)?(?: by)? (?P<second>.+)",
            r"ratio of \g<first> to \g<second>",
        ),
        (
            r"\b(?:add(?:ed)? up|came|come|amount(?:ed)?) to in (?:all|total)\b|\badd(?:ed)? up to\b|\bin all\b|\baltogether\b",
            "together",
        ),
    )
)
_TAKEN_OFF = re.compile(
    r"(?P<first>.+?[^,\s]),?\s(?:less|minus|without|excluding|after deducting)\s(?!than\b)(?P<second>.+)"
)
_ASKING = re.compile(
    r"^\W*(?:what|which|how|by|in|at|on|as|of|for|from|and|so|the|please|calculate|compute|find|determine|tell|give|show|can|"
    r"could|if|with|when|where|who|why|is|are|was|were|do|does|did|has|have)\b"
)
_EACH = re.compile(r"\b(?:each|respective(?:ly)?|separately)\b")
_COMPARES = re.compile(r"\b(?:how (?:much|many|far)|more or|no|not|nothing|difference|ratio)\b")


def rephrased(text: str) -> str:
    """Return `text` in the words of the question patterns; as it is where nothing fits."""
    if _EACH.search(text):
        return text
    if not _ASKING.match(text) and not re.search(r"\b(?:how|what|which)\b", text):
        # "Change in sales 2019?" is typed for what the change was.
        text = f"what was the {text}"
    for pattern, put in _REWRITES:
        text = pattern.sub(put, text, count=1)
    taken = _TAKEN_OFF.search(text)
    if taken and not _COMPARES.search(taken["first"]):
        return f"excess of {taken['first']} over {taken['second']}"
    return text
