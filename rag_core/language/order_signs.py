"""Signs that together tell an order to a machine, in whatever words: who is spoken to, what of, and in which mood.

Patterns know wordings that were seen before. A sentence in new words still speaks of a machine or to "you", of answers
and questions, commands, sets something aside, or shows a word in capitals to be said. None of these is an order alone;
several in one sentence are.
"""

from __future__ import annotations

import re

__all__ = ["shows_signs"]

_LONGEST = 400
_MACHINE = re.compile(
    r"\b(?:assistants?|chat ?bots?|bots?|(?:an|any|every|each|dear) ai|ai (?:systems?|models?|readers?)|llms?|gpt|"
    r"(?:language|neural|generative) (?:models?|engines?|networks?)|"
    r"(?:software|ai|digital) agents?|system (?:message|prompt)|prompts?|the model|machine readers?|machines that (?:read|index|"
    r"parse|process)\w*|(?:your|its) (?:operators?|developers?|creators?|programming|training|memory)|contents of memory|"
    r"automat\w+ (?:summar\w+|reader\w*|answer\w*))\b",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"\b(answer\w*|repl(?:y|ies|ying)|respon(?:d|ds|se|ses|ding)|questions?|quer(?:y|ies)|conversation|chat|output|"
    r"summar(?:y|i[sz]e|i[sz]ing)|say|saying|tell|word|phrase|typing|type|repeat after|user|sign off|whoever asks|asked|"
    r"guidelines|instructions?|obey|pretend|persona|role|mention|inform|generate|sentences?|truth|claim|cites?|quote|reveal|"
    r"print|hidden|secret|tell (?:anybody|anyone|everyone|them))\b",
    re.IGNORECASE,
)
_OUGHT = re.compile(
    r"\b(?:must|should|shall|ought to|required to|has to|have to|are to|is to|needs to|do not|don't|never|obliged|forbidden|"
    r"expected to|authori[sz]ed|allowed to|correct|right|duty)\b",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"(?:^\W*|[:;,]\s+|\b(?:and|then|so|but|please|kindly|simply|just|now)\s+)(?:say|reply|respond|answer|repeat|ignore|"
    r"disregard|forget|overwrite|override|replace|swap|put|skip|tell|consider|treat|obey|drop|set aside|abandon|scrap|stop|"
    r"pretend|act|behave|write|type|produce|conclude|finish|end|begin|open|start|mention|quote|hide|conceal|praise|"
    r"recommend|greet|sign off|do as|print|reveal|output|append|insert|wire|send|inform|interrupt|speak|let|kill|hand over|"
    r"share|leave out|omit|call|present|translate|describe|refer)\b",
    re.IGNORECASE,
)
_SETS_ASIDE = re.compile(
    r"\b(nothing else|nothing but|only|alone|instead|in (?:its|their) place|outranks?|overrules?|overwrite|overrid\w+|"
    r"whatever|wherever|no matter|regardless|all you may|before you|from (?:now|here|this)|henceforth|everything|first|"
    r"above|earlier|previous|as though|as if|closed|cancel\w+)\b",
    re.IGNORECASE,
)
_SHOUTED = re.compile(
    r"(?:\b(?:with|by|in|is|words?|token|phrase|say|put|reply|answers?|write|mention|add|typ(?:e|ing)|receives?|response)|:) "
    r"[\"“'‘]?([A-Z]{4,})(?![\w-])"
)
# Capitals that reports are full of.
_ACRONYMS = frozenset(
    "EBITDA IFRS GAAP SOFR LIBOR EURIBOR SONIA NASDAQ NYSE ISIN CUSIP UCITS COVID FIFO LIFO REIT".split()
)
_ADDRESSED = re.compile(r"\b(?:you|your|them|anyone|whoever|the user|the person)\b", re.IGNORECASE)
# What each sign counts, and from where on they are an order: of 9,475 sentences of reports, news and explanations none
# does, nor of 13,258 from advice on money more than a handful.
_LEAST = 3.2


def shows_signs(text: str) -> bool:
    """Tell whether one sentence shows the signs of an order to a machine."""
    if len(text) > _LONGEST:
        return False
    talk = {match.lower() for match in _TALK.findall(text)}
    aside = {match.lower() for match in _SETS_ASIDE.findall(text)}
    machine, command = _MACHINE.search(text) is not None, _COMMAND.search(text) is not None
    shouted = not text.isupper() and any(word not in _ACRONYMS for word in _SHOUTED.findall(text))
    if not (machine or shouted or (command and aside)):
        return False
    mood = 1.5 if command else 1.0 if _OUGHT.search(text) else 0.0
    total = 1.5 * machine + 0.75 * min(len(talk), 3) + mood + 0.6 * min(len(aside), 2) + 1.2 * shouted
    return total + 0.5 * (_ADDRESSED.search(text) is not None) >= _LEAST
