"""Settings: one frozen dataclass a stage, one `RagConfig` over them, read from the environment once.

`RagConfig.from_env()` reads the `RAG_*` variables of `ENVIRONMENT` below and refuses unknown ones, so that a typing
error is told rather than ignored. Everything else takes the config as an argument.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag_core.errors import ConfigError

__all__ = [
    "ENVIRONMENT",
    "EmbeddingConfig",
    "GenerationConfig",
    "IndexConfig",
    "LimitsConfig",
    "RagConfig",
    "RetrievalConfig",
    "SplittingConfig",
]

MEBIBYTE = 1024 * 1024


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragoptimize"


@dataclass(frozen=True)
class LimitsConfig:
    """What a document may cost. Over any of these it is refused with a `DocumentTooLargeError`."""

    file_bytes: int = 50 * MEBIBYTE
    pages: int = 3_000
    characters: int = 20_000_000
    parse_seconds: float = 120.0
    parse_memory_bytes: int = 2_048 * MEBIBYTE
    documents: int = 1_000
    # Some three hundred and fifty words: rules that look through a question may take the square of its length.
    question_characters: int = 2_000


@dataclass(frozen=True)
class SplittingConfig:
    """Sizes in tokens of the embedder's tokenizer: passages go to the prompt, windows are embedded.

    MiniLM reads 254 tokens, and was trained on 126 (both with two special ones beside): windows of that size are found
    more often.
    """

    passage_tokens: int = 512
    passage_overlap_tokens: int = 0
    window_tokens: int = 126
    window_overlap_tokens: int = 16


@dataclass(frozen=True)
class EmbeddingConfig:
    """`model` is `auto` (the embedded MiniLM, else the same from the Hub), a Hub id or a folder.

    `change` is what is added to its weights: `auto` (to the embedded MiniLM, what it learned here on finance questions;
    to another model nothing), `none`, or a file that `train.embedder` wrote. A GPU takes more than `batch_size` texts at
    a time where they fill it better.
    """

    model: str = "auto"
    device: str = "auto"
    batch_size: int = 32
    change: str = "auto"


@dataclass(frozen=True)
class IndexConfig:
    """`directory` None keeps everything in memory, gone with the process; else the index persists there.

    `server` is the URL of a Chroma server that holds the vectors in place of this process or the folder; `server_key`
    is sent to it as a bearer token, for a proxy in front of it.
    """

    directory: Path | None = None
    server: str = ""
    server_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class RetrievalConfig:
    """`k` passages are returned; each side proposes `candidates`.

    The best `reread` are put in order once more by the ranking model; 0: none. `reranker`, a cross-encoder's Hub id or
    folder, reorders the best `rerank_candidates` in its place; empty: none.
    """

    k: int = 5
    candidates: int = 50
    reread: int = 30
    reranker: str = ""
    rerank_candidates: int = 20


@dataclass(frozen=True)
class GenerationConfig:
    """`model` is `auto` (merged model with a GPU, else the embedded SmolLM2), a Hub id or a folder.

    `endpoint` is the URL of an OpenAI-compatible server that generates in place of this machine; `model` is then a name
    that the server knows (`auto`: the first that it lists), `endpoint_key` its key, and `endpoint_seconds` how long it
    may be silent before and between tokens.
    `max_new_tokens`, `context_tokens` and `passages` at 0 take what `rag_core.policy` has for the model. `reader` lets
    small models answer with the words that `rag_core.answers.reader` finds, and `close_reader` a larger reading model read
    the likeliest passages again. `cuda_engine` serves many chats at once on
    an NVIDIA card with the engine of `rag_core.engines.cuda`, where the model is of its kind.
    """

    model: str = "auto"
    tokenizer: str = "auto"
    device: str = "auto"
    load_in_4bit: bool = False
    max_new_tokens: int = 0
    context_tokens: int = 0
    passages: int = 0
    prompt_lookup: bool = True
    threads: int = 0
    endpoint: str = ""
    endpoint_key: str = field(default="", repr=False)
    endpoint_seconds: float = 60.0
    reader: bool = True
    close_reader: bool = True
    cuda_engine: bool = True


@dataclass(frozen=True)
class RagConfig:
    """All settings. `RagConfig()` is the default; `RagConfig.from_env()` is it changed by `RAG_*` variables."""

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    splitting: SplittingConfig = field(default_factory=SplittingConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    cache_directory: Path = field(default_factory=_default_cache)

    def __post_init__(self) -> None:
        """Check what can be checked without loading anything. Raises ConfigError."""
        splitting, limits = self.splitting, self.limits
        _bound("window_tokens", splitting.window_tokens, 16, 254)
        _bound("passage_tokens", splitting.passage_tokens, splitting.window_tokens, 4_096)
        _bound("window_overlap_tokens", splitting.window_overlap_tokens, 0, splitting.window_tokens // 2)
        _bound("passage_overlap_tokens", splitting.passage_overlap_tokens, 0, splitting.passage_tokens // 2)
        _bound("batch_size", self.embedding.batch_size, 1, 4_096)
        _bound("k", self.retrieval.k, 1, 100)
        _bound("candidates", self.retrieval.candidates, self.retrieval.k, 1_000)
        _bound("reread", self.retrieval.reread, 0, 100)
        _bound("rerank_candidates", self.retrieval.rerank_candidates, 1, 1_000)
        _bound("max_new_tokens", self.generation.max_new_tokens, 0, 8_192)
        _bound("context_tokens", self.generation.context_tokens, 0, 1_048_576)
        _bound("passages", self.generation.passages, 0, 100)
        _bound("threads", self.generation.threads, 0, 1_024)
        _bound("endpoint_seconds", self.generation.endpoint_seconds, 1, 3_600)
        _address("RAG_ENDPOINT", self.generation.endpoint, "RAG_ENDPOINT_KEY")
        _address("RAG_CHROMA_URL", self.index.server, "RAG_CHROMA_KEY")
        for name in ("file_bytes", "pages", "characters", "parse_seconds", "parse_memory_bytes", "documents"):
            _bound(name, getattr(limits, name), 1, 2**62)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> RagConfig:
        """Return the default config changed by the `RAG_*` variables of `environ` (the process's when None).

        Raises ConfigError for an unknown `RAG_*` name or a value that does not parse.
        """
        environ = os.environ if environ is None else environ
        config = cls()
        for variable, value in environ.items():
            if not variable.startswith("RAG_"):
                continue
            if variable not in ENVIRONMENT:
                raise ConfigError(f"{variable} is no setting; known are {', '.join(sorted(ENVIRONMENT))}")
            config = config.with_setting(ENVIRONMENT[variable][0], value)
        return config

    def with_setting(self, path: str, value: Any) -> RagConfig:
        """Return a copy with the field at `path` (`generation.model`) set; a string is parsed to the field's type.

        Raises ConfigError where there is no such field or the value does not parse.
        """
        stage, _, name = path.rpartition(".")
        owner = getattr(self, stage, None) if stage else self
        if owner is None or not is_dataclass(owner) or name not in {item.name for item in fields(owner)}:
            raise ConfigError(f"{path} is no setting")
        changed = replace(owner, **{name: _parse(path, value, getattr(owner, name))})  # type: ignore[type-var]
        return replace(self, **{stage: changed}) if stage else changed  # type: ignore[return-value, arg-type]


# Variable: (field, what it means). The README's table and `doctor` are written from this.
ENVIRONMENT: dict[str, tuple[str, str]] = {
    "RAG_MODEL": ("generation.model", "generator: auto, a Hub id or a folder"),
    "RAG_TOKENIZER": ("generation.tokenizer", "tokenizer of the generator where it stands elsewhere"),
    "RAG_DEVICE": ("generation.device", "auto, cpu or cuda"),
    "RAG_LOAD_IN_4BIT": ("generation.load_in_4bit", "NF4 through bitsandbytes: true or false"),
    "RAG_MAX_NEW_TOKENS": ("generation.max_new_tokens", "longest answer in tokens; 0: the model's own policy"),
    "RAG_CONTEXT_TOKENS": ("generation.context_tokens", "prompt and answer in tokens; 0: the model's own policy"),
    "RAG_PROMPT_LOOKUP": ("generation.prompt_lookup", "speculate with spans of the prompt: true or false"),
    "RAG_THREADS": ("generation.threads", "CPU threads of the generator; 0: all physical cores"),
    "RAG_ENDPOINT": (
        "generation.endpoint",
        "URL of an OpenAI-compatible server that generates; RAG_MODEL is its model",
    ),
    "RAG_ENDPOINT_KEY": ("generation.endpoint_key", "key of that server; never logged or shown"),
    "RAG_ENDPOINT_SECONDS": ("generation.endpoint_seconds", "longest silence of that server, in seconds"),
    "RAG_READER": ("generation.reader", "small models answer with words that a reading model finds: true or false"),
    "RAG_CLOSE_READER": (
        "generation.close_reader",
        "a larger reading model reads the likeliest passages again: true or false",
    ),
    "RAG_CUDA_ENGINE": (
        "generation.cuda_engine",
        "an engine of our own for many chats at once on an NVIDIA card, where model and card allow: true or false",
    ),
    "RAG_EMBEDDER": ("embedding.model", "embedder: auto, a Hub id or a folder"),
    "RAG_EMBEDDER_CHANGE": (
        "embedding.change",
        "what is added to its weights: auto (finance, to the embedded one alone), none or a file",
    ),
    "RAG_TOP_K": ("retrieval.k", "passages returned by a search"),
    "RAG_REREAD": ("retrieval.reread", "first passages that the ranking model puts in order; 0: none"),
    "RAG_RERANKER": (
        "retrieval.reranker",
        "cross-encoder that reorders passages: a Hub id or folder (none is shipped)",
    ),
    "RAG_INDEX_DIR": ("index.directory", "folder in which the index persists; empty: in memory"),
    "RAG_CHROMA_URL": ("index.server", "URL of a Chroma server that holds the vectors; empty: this machine"),
    "RAG_CHROMA_KEY": ("index.server_key", "bearer token for a proxy in front of it; never logged or shown"),
    "RAG_CACHE_DIR": ("cache_directory", "folder of converted models"),
    "RAG_MAX_FILE_BYTES": ("limits.file_bytes", "largest file in bytes"),
    "RAG_MAX_PAGES": ("limits.pages", "most pages of a document"),
    "RAG_MAX_CHARACTERS": ("limits.characters", "most characters of a document"),
    "RAG_PARSE_SECONDS": ("limits.parse_seconds", "longest time to read one file"),
    "RAG_MAX_DOCUMENTS": ("limits.documents", "most documents of one visitor"),
}


def _bound(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must be from {low} to {high}")


def _address(name: str, url: str, key: str) -> None:
    """Check a server's URL. What could hold a secret in it is refused, because URLs are shown and logged."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{name} is no URL of a server; it must be like http://host:8000")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{name} must be scheme, host, port and path alone; a key goes into {key}")


def _parse(path: str, value: Any, current: Any) -> Any:
    """Turn a string into the type of `current`; other values pass."""
    if not isinstance(value, str) or (isinstance(current, str)):
        return value
    try:
        if isinstance(current, bool):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[value.lower()]
        if isinstance(current, int):
            return int(value)
        if isinstance(current, float):
            return float(value)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path} is {value!r}; a {type(current).__name__} is needed") from error
    return Path(value) if value else None
