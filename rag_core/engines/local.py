"""The generator of this machine: settings to a model's files and its tokenizer, and its answers from the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from rag_core.collecting import first_load
from rag_core.config import RagConfig
from rag_core.engines import gpu_window
from rag_core.engines.choosing import make_engine
from rag_core.engines.conversion import converted
from rag_core.engines.first_start import FirstStart
from rag_core.engines.memory import translated
from rag_core.engines.steps import Engine
from rag_core.engines.tokens import ChatTokenizer, TextAssembler
from rag_core.errors import (
    BusyError,
    ConfigError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    QuestionError,
)
from rag_core.generation import GenerationDelta
from rag_core.models import ModelSource, fetch, gpu_available, resolve_generator
from rag_core.policy import policy_for
from rag_core.records import Message, Progress, ProgressCallback

__all__ = ["LocalGenerator", "model_folder", "stop_ids"]

# How long a request waits for the one before it. An answer takes seconds, so this long means that one is stuck.
_WAIT_SECONDS = 300.0
# Keys of config.json under which architectures state their context, in tokens.
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx", "seq_length")
_UNSTATED_CONTEXT = 2_048


def model_folder(
    source: ModelSource, cache: Path, on_progress: ProgressCallback | None = None, *, weights: bool = True
) -> Path:
    """Return the folder of a model, downloading and converting as needed. Raises ModelError."""
    path = fetch(source, on_progress, weights=weights)
    return converted(path, cache, on_progress) if path.is_file() else path


def stop_ids(folder: Path, tokenizer: ChatTokenizer) -> frozenset[int]:
    """Return the ids that end an answer: those of the generation settings or else the config, and the tokenizer's."""
    stated = _json(folder / "generation_config.json").get("eos_token_id")
    if stated is None:
        stated = _json(folder / "config.json").get("eos_token_id")
    found = stated if isinstance(stated, list) else [stated]
    return frozenset(int(token) for token in (*found, tokenizer.eos_id) if token is not None)


class LocalGenerator:
    """A `TextGenerator` over one loaded model. Nothing is read before it is needed.

    On a GPU many answers may be made at a time, elsewhere one.
    """

    def __init__(self, config: RagConfig) -> None:
        """Remember the settings. Raises ConfigError for a device that there is not by that name."""
        if config.generation.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"RAG_DEVICE is {config.generation.device!r}; it must be auto, cpu or cuda")
        self._config = config
        self._loading, self._reading = threading.Lock(), threading.RLock()
        self._turn = threading.Semaphore(1)
        self._source: ModelSource | None = None
        self._tokenizer: ChatTokenizer | None = None
        self._engine: Engine | None = None
        self._first_start: FirstStart | None = None
        self._context = 0
        self._key = 0
        gpu_window.prepare()

    @property
    def name(self) -> str:
        """Hub id, folder or package that the weights came from."""
        return self._resolved().name

    @property
    def context_tokens(self) -> int:
        """Most tokens of prompt and answer together. Reads the model's config (from the Hub, if it must)."""
        if not self._context:
            stated = _context(_json(self._small_files() / "config.json"))
            self._context = min(stated, self._config.generation.context_tokens or stated)
        return self._context

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._engine is not None

    @property
    def description(self) -> str:
        """Where and in what precision the loaded model computes; empty before."""
        return self._engine.description if self._engine else ""

    def prepare(self) -> None:
        """Begin what only the first start of all does and takes long; return at once. Raises ModelError."""
        if self._engine is None and (first := self._first()) is not None:
            first.begin()

    def load(self, on_progress: ProgressCallback | None = None) -> None:
        """Load tokenizer and weights, once; later calls return at once. Raises ModelError, ConfigError."""
        if self._engine is not None:
            return
        with self._loading:
            if self.loaded:  # by another thread, while this one waited
                return
            source = self._resolved()
            folder = self._files(on_progress)
            if on_progress:
                on_progress(Progress("loading", detail=source.name))
            with first_load("generator"), translated(source.name):
                tokenizer = self._read_tokenizer(on_progress)
                engine = self._make_engine(folder, stop_ids(folder, tokenizer), on_progress)
            self._key = gpu_window.register(engine)
            self._turn = threading.Semaphore(engine.at_once)
            self._engine = engine

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the prompt's tokens under the chat template. Raises ModelError."""
        return self._read_tokenizer().count(messages)

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        """Generate greedily; closing the iterator stops within one token and frees the engine.

        While a long prompt is read, deltas without text come between its parts, so that it can be stopped there too.
        Raises ModelError; QuestionError where the prompt is longer than the context; BusyError where the answer before
        does not end.
        """
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be 1 or more")
        return self._stream(messages, max_new_tokens)

    def _stream(self, messages: Sequence[Message], max_new_tokens: int) -> Iterator[GenerationDelta]:
        self.load()
        tokenizer = self._read_tokenizer()
        prompt = tokenizer.encode(messages)
        room = self.context_tokens - len(prompt)
        if room < 1:
            raise QuestionError(
                f"The prompt takes {len(prompt)} tokens and {self.name} reads {self.context_tokens}; "
                "ask a shorter question"
            )
        if not self._turn.acquire(timeout=_WAIT_SECONDS):
            raise BusyError("Another answer is still being written; try again shortly")
        try:
            text = TextAssembler(tokenizer)
            with closing(gpu_window.generate(self._key, prompt, min(max_new_tokens, room))) as steps:  # type: ignore[type-var]
                for step in steps:
                    if not step.tokens and not step.finish:
                        yield GenerationDelta("", 0, len(prompt), step.cached)
                    for token in step.tokens:
                        yield GenerationDelta(text.push(token), 1, len(prompt), step.cached)
                    if step.finish:
                        yield GenerationDelta(text.flush(), 0, len(prompt), step.cached, step.finish)
        except ModelError:
            raise
        except (RuntimeError, MemoryError) as error:
            with translated(self.name):
                raise error
        finally:
            self._turn.release()

    # Files and models ------------------------------------------------------------------------------------------------

    def _resolved(self) -> ModelSource:
        if self._source is None:
            self._source = resolve_generator(self._config.generation)
        return self._source

    def _small_files(self, on_progress: ProgressCallback | None = None) -> Path:
        return self._files(on_progress, weights=False)

    def _files(self, on_progress: ProgressCallback | None, *, weights: bool = True) -> Path:
        first = self._first()
        if first is not None and not first.over:
            if on_progress:
                on_progress(Progress("converting", detail=f"{self._resolved().name}, once"))
            first.finish(compiling=self._config.generation.device == "cpu" or not gpu_available())
        return model_folder(self._resolved(), self._config.cache_directory, on_progress, weights=weights)

    def _first(self) -> FirstStart | None:
        """Return the conversion of the model's file, None where the model is no file."""
        path = self._resolved().path
        if self._first_start is None and path is not None and path.is_file():
            with self._reading:
                self._first_start = self._first_start or FirstStart(path, self._config.cache_directory)
        return self._first_start

    def _read_tokenizer(self, on_progress: ProgressCallback | None = None) -> ChatTokenizer:
        if self._tokenizer is not None:
            return self._tokenizer
        with self._reading:
            if self._tokenizer is None:
                self._tokenizer = ChatTokenizer(self._tokenizer_folder(on_progress))
            return self._tokenizer

    def _tokenizer_folder(self, on_progress: ProgressCallback | None) -> Path:
        elsewhere = self._resolved().tokenizer
        if elsewhere is None:
            return self._small_files(on_progress)
        if Path(elsewhere).is_dir():
            return Path(elsewhere)
        try:
            return fetch(ModelSource(elsewhere, "hub"), on_progress, weights=False)
        except ModelNotFoundError:
            # Mistral's own repository asks for a token; models made from it often carry a copy of the tokenizer.
            own = self._small_files(on_progress)
            if self._config.generation.tokenizer != "auto" or not (own / "tokenizer_config.json").is_file():
                raise
            return own

    def _make_engine(self, folder: Path, stops: frozenset[int], on_progress: ProgressCallback | None) -> Engine:
        length = min(self.context_tokens, policy_for(self.name, self._config.generation).context_tokens)
        engine = make_engine(self._config, folder, stops, length, on_progress)
        self._context = min(self.context_tokens, getattr(engine, "longest", self.context_tokens))
        return engine


def _context(config: dict[str, object]) -> int:
    inner = config.get("text_config")
    layers = [config, inner] if isinstance(inner, dict) else [config]
    found = (layer[key] for layer in layers for key in _CONTEXT_KEYS if isinstance(layer.get(key), int))
    return int(next(found, _UNSTATED_CONTEXT))  # type: ignore[call-overload, no-any-return]


def _json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path} cannot be read; download or convert the model again") from error
    return found if isinstance(found, dict) else {}
