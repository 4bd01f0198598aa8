"""How questions ask for each operation: the patterns, over text in small letters with plain quotes and dashes."""

from __future__ import annotations

import re

__all__ = [
    "AND",
    "AND_RANGE",
    "AS_SHARE",
    "AVERAGE",
    "BASE",
    "BETWEEN_RATIO",
    "BETWEEN_SHARES",
    "BY_AMOUNT",
    "BY_PERCENT",
    "CAGR",
    "CHANGE",
    "COUNT",
    "DIFFERENCE",
    "DIRECTION",
    "DIVIDED",
    "EXCESS",
    "EXTREME",
    "FALLING",
    "FEWER",
    "FILLERS",
    "IN_WHOLE",
    "LEAST",
    "MOST",
    "NOT_FIGURES",
    "OF_WHOLE",
    "OPEN_CHANGE",
    "PERCENT",
    "PERCENT_CHANGE",
    "POINTS",
    "PREPOSITION",
    "PRIOR",
    "RANGE",
    "RATIO_AFTER",
    "RATIO_KINDS",
    "RATIO_OF",
    "RISING",
    "SPLIT",
    "SUM",
    "VERB",
]

NOT_FIGURES = re.compile(
    r"^\W*(?:why|who|where|when|explain|describe|discuss|define|list|name|is|are|was|were|do|does|did|can)\b"
    r"|\b(?:reasons?|caused?|causes|led|drove|driven|drivers?|explain\w*|describe\w*|attribut\w+ to|due to (?:what|which)|"
    r"due to\W*$|impact of|"
    r"effects? of|result of|how (?:is|are|was|were|does|do) (?:the |it |they )?[^?]*\b(?:calculated|computed|determined|"
    r"defined|derived|measured|recogni[sz]ed|treated|accounted))\b|\bhow did\b"
    # A part of a change is told, not computed.
    r"|\b(?:increase|decrease|growth|rise|fall|decline|drop|reduction)\b.* (?:came from|stem\w* from|resulted from|arose from)\b"
)
DIRECTION = (
    r"(?:net |overall |absolute |nominal |total )?"
    r"(?:increase\s?/?\s?\(?(?:or |and )?decrease\)?|\(?decrease\)?\s?/?\s?\(?increase\)?|"
    r"change|increase|decrease|growth|decline|reduction|rise|fall|drop|variation|movement|variance)"
)
VERB = (
    r"(?:change|increase|decrease|grow|decline|fall|drop|rise|reduce|shrink|vary)(?:d|s|n|ed|ing)?|grew|fell|rose|"
    r"changed|fallen|risen|shrunk"
)
PERCENT = r"(?:percentage|percent|per cent|pct|%)"

POINTS = re.compile(rf"\b(?:percentage|basis)[ -]points?\b(?: {DIRECTION})?")
CAGR = re.compile(r"\b(?:compound(?:ed)? annual growth rate|cagr)\b")
PERCENT_CHANGE = re.compile(
    rf"\b(?:year[ -]o(?:ve|n)r?[ -]year |yoy |annual |relative )?{PERCENT}[ -]?(?:wise )?{DIRECTION}\b"
    rf"|\b(?:year[ -]o(?:ve|n)r?[ -]year|yoy|annual|relative) (?:growth|change)(?: rate)?\b"
    rf"|\b(?:rate of (?:growth|change|increase|decrease)|growth(?: rate)?)(?= (?:of|in|for|from|between)\b)"
    rf"|{DIRECTION} in (?={PERCENT}\b)|\b{DIRECTION} rate\b"
)
BY_PERCENT = re.compile(
    rf"\b(?:by )?(?:what|how many|how much|which) (?:{PERCENT}|in {PERCENT}(?: terms)?)\b(?P<rest>.*\b(?:{VERB})\b.*)"
    rf"|\bhow much (?:did|has|have)\b(?P<rest2>.*\b(?:{VERB})\b.*)\b(?:in {PERCENT}(?: terms)?)\b"
)
CHANGE = re.compile(rf"\b{DIRECTION}(?= (?:of|in|for|from|between|to)\b|\?|$)")
BY_AMOUNT = re.compile(rf"\b(?:by )?how much (?:did|has|have|had)\b(?P<rest>.*\b(?:{VERB})\b.*)")
OPEN_CHANGE = re.compile(
    rf"^\W*how much (?:did|has|have)\b.*\b(?:{VERB})\b(?!.*(?:[$€£¥]|\b(?:in|by|amount)\b \w*(?:dollar|euro|pound|"
    rf"million|thousand)))"
)
DIFFERENCE = re.compile(r"\b(?:absolute |nominal |net )?difference(?= (?:of|in|between|for|from)\b)")
EXCESS = re.compile(
    r"\b(?:by )?how (?:much|many) (?:\w+ )?(?:higher|lower|more|less|larger|smaller|greater|bigger|fewer)\b(?P<rest>.+)"
    r"|\bexcess of (?P<first>.+?) over (?P<second>.+)"
)
AVERAGE = re.compile(r"(?<!weighted )(?<!weighted-)(?<!moving )\b(?:simple |arithmetic )?(?:average|mean)\b")
SUM = re.compile(r"\b(?:sum|aggregate|combined|cumulative)(?: total| amount| value)?\b|\btogether\b|\btotal\b")
RATIO_OF = re.compile(r"\bratio (?:of|between) (?P<both>.+)")
DIVIDED = re.compile(r"(?P<first>.+?) divided by (?P<second>.+)")
RATIO_AFTER = re.compile(r"\b(?P<both>.+?) ratio\b(?P<after>.*)")
AS_SHARE = re.compile(
    rf"(?P<part>.+?)\b(?:expressed )?as an? (?P<kind>{PERCENT}|share|proportion|fraction) (?:of|to|over) (?P<whole>.+)"
)
OF_WHOLE = re.compile(
    rf"\b(?:what|which) (?P<kind>{PERCENT}|share|proportion|fraction|portion) of (?P<whole>.+?) "
    r"(?:is|was|were|are|did|does|do|has|had|came|comes?|relates?|related|consists?|consisted|represents?|represented|"
    r"made|makes?|accounts?|accounted|belongs?|went|goes|go|works?|worked|falls?|fell|stems?|stemmed|sits?|draws?|"
    r"drew|holds?|held|uses?|used|pays?|paid|lives?|lies|lay|earns?|earned|matures?|expires?)"
    r"\b(?: (?:made up|composed|comprised|represented|accounted for|attributable|"
    r"contributed|generated|due|derived|related|the))?(?: (?:of|by|from|to|for|in|up|on|into))? (?P<part>.+)"
)
IN_WHOLE = re.compile(
    rf"\b(?P<kind>{PERCENT}|share|proportion|fraction|portion)(?: \w+)? of (?P<both>.+)"
    rf"|\bwhat (?P<kind2>{PERCENT}|share|proportion|fraction) (?:is|was|were|does|did|do) (?P<part>.+?) "
    r"(?:make up|account for|represent|constitute|contribute to|comprise|of)(?: of)? (?P<whole>.+)"
)
RATIO_KINDS = ("proportion", "fraction")
BETWEEN_SHARES = re.compile(r" (?:over|out of|in|within|among|to|against|relative to|compared (?:to|with)|from|of) ")
BETWEEN_RATIO = re.compile(r" (?:to|over|and|against|by) ")
COUNT = re.compile(
    r"\bhow many (?P<kind>years|quarters|months|periods|fiscal years|financial years)\b(?P<rest>.+?)"
    r"(?P<than>exceed(?:ed|s|ing)?|(?:more|greater|higher|larger|less|lower|smaller|fewer) than|above|over|below|under|at least|"
    r"at most)\s+(?P<limit>\S.*)"
)
EXTREME = re.compile(
    r"^\W*(?:in |during |for )?(?:which|what) (?P<kind>(?:fiscal |financial )?year|quarter|month|period)\b(?P<rest>.+)"
)
MOST = re.compile(
    r"\b(?:highest|largest|greatest|biggest|most|maximum|peak(?:ed)?|best|higher|larger|greater|bigger|more)\b"
)
LEAST = re.compile(r"\b(?:lowest|smallest|least|minimum|fewest|lower|smaller|less|fewer|worst)\b")
FEWER = ("less", "lower", "smaller", "fewer", "below", "under", "at most")
FALLING = re.compile(
    r"\b(?:decrease|decline|reduction|fall|drop|fell|declined|decreased|dropped|reduced|shrink|shrank)"
)
RISING = re.compile(r"\b(?:increase|change|growth|rise|grow|grew|rose|increased|changed|variation|movement)")

FILLERS = re.compile(
    r"\b(?:what|calculate|compute|find|determine|please|tell|give|show|me|can|could|you|how much|how many|was|is|were|are|the|"
    r"prior year|previous year|preceding year|year before|last year|year[ -]o(?:ve|n)r?[ -]year|yoy|compared (?:to|with|against)|"
    r"as compared|(?:since )?(?:the )?base year|(?:by|at|since) the (?:year )?end(?: of)?|in comparison (?:to|with)|"
    r"respectively|only|both|the years?|fiscal years?|in terms of|in absolute terms|"
    r"in (?:the )?(?:thousands|millions|billions)|over the (?:(?:two|three|four|five|\d)[ -])?years?(?: periods?)?|"
    r"(?:two|three|four|five|\d)[ -]years?(?: period)?|across|over(?=\W*(?:and\W*)*$)|the period|period (?:from|of)|for the|"
    r"value of|amount of|over the (?:quarters|months|years) (?:of|in)|"
    r"(?:three|six|nine|twelve|3|6|9|12)[ -]months?(?: periods?)?(?: ended)?|quarters? ended|years? ended|"
    r"(?:has|have|had|did|does|do|by|its|their)|between|from|as (?:at|of))\b"
)
RANGE = re.compile(r"(?:^|\b)(?:to|through|until|till|-|\u2013)\W*(?:the )?(?:fiscal |financial )?(?:year )?$")
# A lone period that others are measured against, and words for the one before the latest.
BASE = re.compile(
    r"\b(?:than|since|vs\.?|versus|against|compared (?:to|with)|relative to|measured against|base year|from|"
    r"over)\W+(?:was |were |it was |"
    r"that |those )?(?:in |at |of |for |on )?(?:the )?(?:end of |base year |fiscal year |financial year |year )*$"
)
PRIOR = re.compile(
    r"\b(?:(?:the )?(?:year|period) before|(?:previous|prior|preceding|last) (?:year|period)|(?:a|"
    r"one) year (?:earlier|before|ago)|"
    r"year[ -]o(?:ve|n)r?[ -]year|yoy|on the year)\b"
)
AND_RANGE = re.compile(r"\bbetween\b[^?]{0,30}$")
SPLIT = re.compile(r"\s*[,;](?!\s*(?:19|20)\d{2})(?!\d{3})\s*(?:and\s+)?|\s+and\s+|\s+plus\s+|\s+as well as\s+")
AND = re.compile(r"\s+(?:and|plus|than|versus|vs\.?|over)\s+")
PREPOSITION = re.compile(r"^(.*\b(?:from|of|in|for|at)\s)(.+)$")
