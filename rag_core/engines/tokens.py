"""Messages to token ids under the model's own chat template, and new token ids back to text, piece by piece.

Works on `tokenizers` and Jinja alone, which load in a tenth of a second: importing the tokenizers of `transformers`
takes longer than everything else before the first token. The ids are those of its `apply_chat_template`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.errors import ModelLoadError
from rag_core.records import Message

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

__all__ = ["ChatTokenizer", "TextAssembler"]

_REPLACEMENT = "\ufffd"
# A character takes at most four bytes, so no more than four tokens; what is still broken then was never valid.
_LONGEST_WAIT = 4
# Templates mark what the assistant says for training; it changes no prompt, and plain Jinja does not know the tag.
_TRAINING_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


class ChatTokenizer:
    """The tokenizer and the chat template of the model in `folder`. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Read both. Raises ModelLoadError where the folder holds no tokenizer that can be read."""
        self._tokenizer, settings = _open(folder)
        self._names = {key: _content(settings.get(key)) for key in ("bos_token", "eos_token", "unk_token", "pad_token")}
        self._template = _template(folder, settings)
        added = self._tokenizer.get_added_tokens_decoder()
        control = sorted({token.content for token in added.values() if token.special}, key=len, reverse=True)
        self._control_tokens = tuple(control)
        self._control_ids = frozenset(number for number, token in added.items() if token.special)
        self._control = re.compile("|".join(map(re.escape, control))) if control else None

    @property
    def eos_id(self) -> int | None:
        """The id that ends a turn, None where the tokenizer names none."""
        name = self._names["eos_token"]
        found = self._tokenizer.token_to_id(name) if name else None
        return None if found is None else int(found)

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """What the tokenizer reads as control tokens, longest first; none of it gets through from a message."""
        return self._control_tokens

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids of the control tokens."""
        return self._control_ids

    @property
    def padding_id(self) -> int:
        """An id to fill short rows of a batch with: never the one that ends a turn. It is never attended to."""
        names = (self._names["pad_token"], self._names["unk_token"], *self._control_tokens)
        found = (self._tokenizer.token_to_id(name) for name in names if name)
        return next((int(token) for token in found if token is not None and token != self.eos_id), 0)

    def encode_answer(self, text: str) -> list[int]:
        """Return the ids of an answer as the model would write it after the prompt, without the end of the turn."""
        return list(self._tokenizer.encode(self._defused(text), add_special_tokens=False).ids)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of the whole prompt, ready for the answer.

        Control tokens that stand inside a message are broken, so that no text can end its turn or open another.
        Where the template has no system role, its text goes in front of the first user turn.
        """
        safe = [{"role": message.role, "content": self._defused(message.content)} for message in messages]
        text = self._render(safe)
        system = "\n\n".join(turn["content"] for turn in safe if turn["role"] == "system")
        if text is None or (system and system.strip() not in text):
            text = self._render(_merged(safe, system))
        if text is None:
            raise ModelLoadError("The model's chat template refuses this conversation; set RAG_TOKENIZER to another")
        return list(self._tokenizer.encode(text, add_special_tokens=self._template is None).ids)

    def count(self, messages: Sequence[Message]) -> int:
        """Return the number of ids of the whole prompt."""
        return len(self.encode(messages))

    def decode(self, ids: Sequence[int], *, control: bool = False) -> str:
        """Return the text of `ids`, with control tokens or without; unfinished characters come out as U+FFFD."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not control))

    def _defused(self, text: str) -> str:
        # Lone surrogates, which no tokenizer takes, come from broken file names and UTF-16.
        text = text.encode("utf-8", "replace").decode("utf-8")
        if self._control is None:
            return text
        return self._control.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", text)

    def _render(self, turns: list[dict[str, str]]) -> str | None:
        """Return the prompt, None where the template refuses these roles."""
        if self._template is None:
            return "\n\n".join([*(turn["content"] for turn in turns), "Answer:"])
        from jinja2 import TemplateError

        try:
            return str(self._template.render(messages=turns, add_generation_prompt=True, **self._names))
        except TemplateError:
            return None


class TextAssembler:
    """Tokens of one answer to text, never half a character.

    A piece is what a token adds to the text of the last few: tokenizers that fold the space into the word need the
    token before to know that there was one.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        """Start an empty answer."""
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # of the tokens that give context
        self._read = 0  # tokens whose text was given out

    def push(self, token: int) -> str:
        """Return the text that is whole now; empty in the middle of a character."""
        self._ids.append(token)
        text = self._new_text()
        if text.endswith(_REPLACEMENT) and len(self._ids) - self._read < _LONGEST_WAIT:
            return ""
        return self._take(text)

    def flush(self) -> str:
        """Return what is left at the end; an unfinished character is dropped."""
        return self._take(self._new_text())

    def _new_text(self) -> str:
        before = self._tokenizer.decode(self._ids[self._start : self._read])
        return self._tokenizer.decode(self._ids[self._start :])[len(before) :]

    def _take(self, text: str) -> str:
        if text:
            self._start, self._read = self._read, len(self._ids)
        return text.replace(_REPLACEMENT, "")


def _merged(turns: list[dict[str, str]], system: str) -> list[dict[str, str]]:
    rest = [turn for turn in turns if turn["role"] != "system"]
    if not system or not rest:
        return rest
    return [{"role": rest[0]["role"], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]


def _open(folder: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """Return the tokenizer and its settings; formats other than tokenizer.json are read by `transformers`."""
    from tokenizers import Tokenizer

    try:
        settings = _read(folder / "tokenizer_config.json")
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        else:
            from transformers import AutoTokenizer

            loaded = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
            tokenizer = loaded.backend_tokenizer
            settings = {**settings, **loaded.special_tokens_map}
    except Exception as error:  # Each tokenizer library raises its own kinds.
        raise ModelLoadError(
            f"{folder.name} holds no tokenizer that can be read; set RAG_TOKENIZER to a folder or a Hub id ({error})"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, settings


def _template(folder: Path, settings: dict[str, Any]) -> Template | None:
    source = settings.get("chat_template")
    if isinstance(source, list):  # several templates by name
        source = next((item["template"] for item in source if item.get("name") == "default"), None)
    stored = folder / "chat_template.jinja"
    if stored.is_file():
        source = stored.read_text(encoding="utf-8")
    if not source:
        return None
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # The options and names that templates are written for: those of transformers' own environment.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    try:
        return environment.from_string(_TRAINING_TAG.sub("", source))
    except TemplateSyntaxError as error:
        raise ModelLoadError(f"The chat template of {folder.name} does not parse: {error.message}") from error


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _content(token: Any) -> str:
    """Return the text of a token that is written as a string or as an object."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
