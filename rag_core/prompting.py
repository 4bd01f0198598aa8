"""Question, hits and history to the messages of a chat template, inside a token budget.

Context first, question last. Each passage is numbered and fenced by a tag that holds a hash of all passages and the
question: text inside a document would have to contain the hash of itself to close its own fence. Control tokens of
chat templates that stand in a document, a file name or a question are defused before any tokenizer sees them, and
sentences that give orders to whatever reads them (`rag_core.language.orders`) are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag_core.errors import QuestionError
from rag_core.focusing import focused_text
from rag_core.language.orders import asks_about_orders, gives_orders, without_orders
from rag_core.policy import ModelPolicy
from rag_core.records import Hit, Message

__all__ = ["PROMPT_VERSION", "Prompt", "build_prompt", "defuse"]

# Changes with any change of the wording or the order: training records it, so that a model is served as it was trained.
PROMPT_VERSION = "1"

CountTokens = Callable[[Sequence[Message]], int]

# Control tokens of the chat formats in use: <|im_end|>, <s>, [INST], <<SYS>>, <start_of_turn>, <｜User｜>, <tool_call>.
_CONTROL = re.compile(
    r"<(?=[|｜])|(?<=[|｜])>|<(?=/?s>)|<(?=<)|<(?=/?(?:start_of_turn|end_of_turn|bos|eos|pad|unk|passage|think|tool_call|tool_response|tools|function_calls?)\b)"
    r"|\[(?=/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\b)",
    re.IGNORECASE,
)
_DEFUSED = {"<": "‹", ">": "›", "[": "("}


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages for the generator, the hits whose text is in them (in order), and what the budget left out.

    `tokens` counts the whole prompt under the chat template; with `answer_tokens` it stays within the context.
    """

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    tokens: int
    answer_tokens: int
    dropped_passages: int = 0
    dropped_turns: int = 0


def defuse(text: str) -> str:
    """Return `text`, same length, with control tokens of chat templates broken so that no tokenizer reads them as such."""
    return _CONTROL.sub(lambda match: _DEFUSED[match.group()], text)


def build_prompt(
    question: str, hits: Sequence[Hit], history: Sequence[Message], policy: ModelPolicy, count_tokens: CountTokens
) -> Prompt:
    """Return the prompt that fits `policy.context_tokens` with room for the answer.

    Over the budget, the lowest-ranked passages go first, then the oldest turns, then the ends of the last passage.
    Raises QuestionError where the question alone does not fit.
    """
    budget = policy.context_tokens - policy.answer_tokens
    # What retrieval holds for irrelevant is no evidence, and a small model may answer from it all the same.
    relevant = [hit for hit in hits[: policy.passages] if hit.score >= policy.minimum_score]
    wanted = relevant or list(hits[:1])
    turns = _recent_turns(history, policy.history_turns)
    focus = policy.focus_tokens
    kept, kept_turns = len(wanted), len(turns)
    while True:
        messages = _messages(question, wanted[:kept], turns[len(turns) - kept_turns :], policy, focus)
        tokens = count_tokens(messages)
        if tokens <= budget:
            break
        if kept > 1:
            kept -= 1
        elif kept_turns > 0:
            kept_turns -= 1
        elif kept and (focus == 0 or focus > 32):
            focus = (focus or 512) // 2
        else:
            raise QuestionError(
                f"The question takes {tokens} tokens and the model has room for {budget}; ask a shorter one"
            )
    dropped = len(wanted) - kept
    return Prompt(tuple(messages), tuple(wanted[:kept]), tokens, policy.answer_tokens, dropped, len(turns) - kept_turns)


def _recent_turns(history: Sequence[Message], turns: int) -> list[tuple[Message, ...]]:
    """Group the history into user-assistant pairs and return the last `turns` of them."""
    pairs: list[tuple[Message, ...]] = []
    for message in history:
        if message.role == "user":
            pairs.append((message,))
        elif message.role == "assistant" and pairs and len(pairs[-1]) == 1:
            pairs[-1] = (*pairs[-1], message)
    complete: list[tuple[Message, ...]] = [pair for pair in pairs if len(pair) == 2]
    return complete[len(complete) - turns :] if 0 < turns < len(complete) else complete if turns else []


def _messages(
    question: str, hits: Sequence[Hit], turns: Sequence[tuple[Message, ...]], policy: ModelPolicy, focus: int
) -> list[Message]:
    keep = asks_about_orders(question)
    texts = [focused_text(hit, focus, question) for hit in hits]
    shown = [defuse(text if keep else without_orders(text)) for text in texts]
    # A lone surrogate (a broken file name, an escape in JSON) has no bytes of its own.
    seal = hashlib.sha256("\0".join([*shown, question]).encode("utf-8", "replace")).hexdigest()[:6]
    blocks = [
        f"[{number}] {_source(hit)}\n<passage-{seal}>\n{text}\n</passage-{seal}>"
        for number, (hit, text) in enumerate(zip(hits, shown, strict=True), start=1)
    ]
    asked = f"{policy.instruction}\nQuestion: {defuse(' '.join(question.split()))}"
    history = [Message(message.role, defuse(message.content)) for turn in turns for message in turn]
    return [
        Message("system", policy.system),
        *history,
        Message("user", "\n\n".join([*blocks, asked])),
    ]


def _source(hit: Hit) -> str:
    # File names and headings stand outside the fence, so an order has no place in them.
    name = "document" if gives_orders(re.sub(r"[\W_]+", " ", hit.document.name)) else hit.document.name
    place = f"{name}, page {hit.page}"
    if hit.headings and not gives_orders(hit.headings[-1]):
        place += f", {hit.headings[-1]}"
    return defuse(" ".join(place.split()))[:120]
