"""The `TextGenerator` over a server: names the model, counts the prompt, folds what its chat template cannot take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from rag_core.config import RagConfig
from rag_core.endpoint.errors import SystemRoleError
from rag_core.endpoint.estimate import estimate_tokens
from rag_core.endpoint.server import ModelServer, ServedModel
from rag_core.engines.tokens import ChatTokenizer
from rag_core.errors import ConfigError, ModelNotFoundError, RagError
from rag_core.generation import GenerationDelta
from rag_core.models import ModelSource, fetch
from rag_core.records import Message, Progress, ProgressCallback

__all__ = ["EndpointGenerator"]

# Where the server does not say how much its model reads: as much as the policy of large models asks for.
_UNSTATED_CONTEXT = 8_192


class EndpointGenerator:
    """Generates by the server of `config.generation.endpoint`. Answers run side by side, as many as the server takes."""

    def __init__(self, config: RagConfig) -> None:
        """Remember the settings; nothing is sent yet."""
        self._config = config.generation
        self.server = ModelServer(self._config.endpoint, self._config.endpoint_key, self._config.endpoint_seconds)
        self._listed: list[ServedModel] | None = None
        self._tokenizer: ChatTokenizer | None = None
        self._folds_system = False

    @property
    def name(self) -> str:
        """The model's name at the server; asks the server where RAG_MODEL does not say it. Raises ModelError."""
        if self._config.model != "auto":
            return self._config.model
        listed = self._models()
        if not listed:
            raise ConfigError(f"The server {self.server.place} lists no model; set RAG_MODEL to one that it serves")
        return listed[0].id

    @property
    def context_tokens(self) -> int:
        """Most tokens of prompt and answer together, as set, as the server says, or 8,192."""
        stated = next((model.context_tokens for model in self._models() if model.id == self.name), 0)
        return self._config.context_tokens or stated or _UNSTATED_CONTEXT

    @property
    def loaded(self) -> bool:
        """Whether the server has answered."""
        return self._listed is not None

    @property
    def description(self) -> str:
        """Where it computes."""
        return f"server {self.server.place}"

    def load(self, on_progress: ProgressCallback | None = None) -> None:
        """See that the server is there, once. Raises ModelError, ConfigError or BusyError."""
        if self._listed is None:
            if on_progress:
                on_progress(Progress("loading", detail=self.server.place))
            self._models()
            self._count_with()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the prompt's tokens: by RAG_TOKENIZER where that is set, else as an estimate that errs on the high side."""
        tokenizer = self._count_with()
        return tokenizer.count(messages) if tokenizer else estimate_tokens(messages)

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        """Generate greedily; closing the iterator closes the connection, also while the server is silent.

        Deltas without text come while it is. Counts are the server's where it gives them. Raises ModelError,
        QuestionError where the prompt is longer than the model reads, BusyError, or ConfigError for a refused key.
        """
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be 1 or more")
        return self._stream(messages, max_new_tokens)

    def _stream(self, messages: Sequence[Message], max_new_tokens: int) -> Iterator[GenerationDelta]:
        prompt = self.count_tokens(messages)
        try:
            yield from self._deltas(messages, max_new_tokens, prompt)
        except SystemRoleError as error:
            if self._folds_system:
                raise ModelNotFoundError(
                    f"The chat template of {self.name} at {self.server.place} refuses this conversation; "
                    "serve it with another template"
                ) from error
            # Remembered, so that later answers need no second request.
            self._folds_system = True
            yield from self._deltas(messages, max_new_tokens, prompt)

    def _deltas(self, messages: Sequence[Message], max_new_tokens: int, prompt: int) -> Iterator[GenerationDelta]:
        given = 0
        with closing(self.server.chat(self.name, self._turns(messages), max_new_tokens)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                if chunk is None:
                    yield GenerationDelta("", 0, prompt)
                elif chunk.finish:
                    rest = max(0, chunk.completion_tokens - given)
                    reason = "length" if chunk.finish == "length" else "stop"
                    yield GenerationDelta("", rest, chunk.prompt_tokens or prompt, chunk.cached_tokens, reason)  # type: ignore[arg-type]
                else:
                    # Servers send a token a chunk; where they join several, the last delta brings the count right.
                    given += 1
                    yield GenerationDelta(chunk.text, 1, prompt)

    def _turns(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        turns = [{"role": message.role, "content": _valid(message.content)} for message in messages]
        system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
        rest = [turn for turn in turns if turn["role"] != "system"]
        if not self._folds_system or not system or not rest:
            return turns
        return [{**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]

    def _models(self) -> list[ServedModel]:
        if self._listed is None:
            self._listed = self.server.models()
        return self._listed

    def _count_with(self) -> ChatTokenizer | None:
        wanted = self._config.tokenizer
        if self._tokenizer is None and wanted != "auto":
            folder = Path(wanted).expanduser()
            try:
                place = folder if folder.is_dir() else fetch(ModelSource(wanted, "hub"), weights=False)
            except RagError as error:
                raise ConfigError(f"RAG_TOKENIZER cannot be had: {error}") from error
            self._tokenizer = ChatTokenizer(place)
        return self._tokenizer


def _valid(text: str) -> str:
    """Return `text` with lone surrogates replaced: JSON in UTF-8 has no room for them."""
    return text.encode("utf-8", "replace").decode("utf-8")
