"""Texts to unit vectors: the Embedder protocol, and the local models behind it, loaded at first use.

Token counts are word pieces of the embedder's own tokenizer, without the special tokens that `encode` adds.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rag_core.collecting import first_load
from rag_core.config import EmbeddingConfig, RagConfig
from rag_core.encoder.bert import BertEncoder, read_settings
from rag_core.encoder.changes import change_file, change_key, read_change
from rag_core.errors import ModelError, ModelLoadError, OutOfMemoryError
from rag_core.models import ModelSource, fetch, resolve_embedder
from rag_core.records import Progress, ProgressCallback

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rag_core.encoder.packed import PackedEncoder

__all__ = ["Embedder", "LocalEmbedder", "Vectors", "create_embedder", "encodable"]

log = logging.getLogger(__name__)
Vectors = npt.NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Texts to vectors. All methods may be called from any thread; those that need the model load it."""

    @property
    def name(self) -> str:
        """What the vectors were made by: two embedders of one name give the same vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Word pieces of a text that are read, the special tokens not counted; what is beyond is dropped."""

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""

    def load(self, on_progress: ProgressCallback | None = None) -> None:
        """Load the model, once; later calls return at once. Raises ModelError."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, float32 (len(texts), dimension). Raises ModelError."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the word pieces of each text, without special tokens and without any limit."""


def create_embedder(config: RagConfig) -> Embedder:
    """Return the embedder that `config.embedding` names. Loads nothing."""
    return LocalEmbedder(config.embedding, config.cache_directory)


class _Model(Protocol):
    """A loaded model with its tokenizer."""

    dimension: int
    max_tokens: int

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]: ...


class LocalEmbedder:
    """A sentence encoder from a package, a folder or the Hub; see `Embedder`.

    Models of the BERT family run on `rag_core.encoder.bert`; any other goes through `sentence_transformers`.
    """

    def __init__(self, config: EmbeddingConfig, cache: Path | None = None) -> None:
        """Load nothing yet. `cache` is the folder of compiled kernels, the default one where it is None."""
        self._config = config
        self._cache = cache or RagConfig().cache_directory
        self._source: ModelSource | None = None
        self._change_key: str | None = None
        self._model: _Model | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Hub id or package of the model; for a folder, and for a change, with a fingerprint of the weights."""
        if self._source is None:
            self._source = resolve_embedder(self._config)
        if self._change_key is None:
            change = change_file(self._config, self._source)
            self._change_key = f"+{change_key(change)}" if change else ""
        if self._source.kind != "folder" or self._source.path is None:
            return f"{self._source.name}{self._change_key}"
        return f"{self._source.name}@{_fingerprint(self._source.path)}{self._change_key}"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._ready().dimension

    @property
    def max_tokens(self) -> int:
        """Word pieces of a text that are read, without the special tokens."""
        return self._ready().max_tokens

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._model is not None

    def load(self, on_progress: ProgressCallback | None = None) -> None:
        """Load the model, once; later calls return at once. Raises ModelError."""
        with self._lock:
            if self._model is not None:
                return
            source = resolve_embedder(self._config)
            folder = fetch(source, on_progress)
            if on_progress:
                on_progress(Progress("loading", detail=source.name))
            try:
                change = change_file(self._config, source)
                with first_load("embedder"):
                    self._model = _open(folder, change, _device(self._config.device), self._cache, on_progress)
            except ModelError:
                raise
            except MemoryError as error:
                raise OutOfMemoryError(f"There is no memory for the embedder {source.name}; free some") from error
            except Exception as error:  # safetensors, tokenizers and transformers each raise their own kinds.
                raise ModelLoadError(
                    f"The embedder {source.name} does not load ({type(error).__name__}: {error}); "
                    "install it again, or set RAG_EMBEDDER to another one"
                ) from error

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, float32 (len(texts), dimension). Raises ModelError."""
        model = self._ready()
        if not texts:
            return np.empty((0, model.dimension), dtype=np.float32)
        return model.encode([encodable(text) for text in texts], self._config.batch_size)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the word pieces of each text, without special tokens and without any limit."""
        return self._ready().count_tokens([encodable(text) for text in texts])

    def _ready(self) -> _Model:
        if self._model is None:
            self.load()
        if self._model is None:
            raise ModelLoadError("The embedder did not load; try again")
        return self._model


def _device(setting: str) -> str:
    import os

    import torch

    if setting != "auto":
        return setting
    # ZeroGPU lends its device to generation alone; a search must not wait for it.
    return "cuda" if torch.cuda.is_available() and not os.environ.get("SPACES_ZERO_GPU") else "cpu"


def encodable(text: str) -> str:
    """Return `text` with lone surrogates replaced: tokenizers take valid Unicode only. No length changes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _fingerprint(folder: Path) -> str:
    """Return 12 hexadecimal digits of the folder's weights: sizes, heads and tails, so that it costs no full read."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("tokenizer.json")]):
        with path.open("rb") as file:
            size = path.stat().st_size
            digest.update(f"{path.name}:{size}".encode() + file.read(1 << 16))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:12]


def _open(folder: Path, change: Path | None, device: str, cache: Path, on_progress: ProgressCallback | None) -> _Model:
    settings = read_settings(folder)
    if settings is None:
        if change:
            raise ModelLoadError(
                f"{folder.name} is not of the BERT family and takes no change; set RAG_EMBEDDER_CHANGE=none"
            )
        return _SentenceTransformer(folder, device)
    from tokenizers import Tokenizer

    from rag_core.encoder.packed import packed_encoder

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    changes = read_change(change, folder) if change else {}
    encoder = packed_encoder(folder, settings, cache, changes, on_progress) if device == "cpu" else None
    return _Bert(encoder or BertEncoder(folder, settings, device, changes=changes), tokenizer)


class _Bert:
    """The lean forward pass with its tokenizer."""

    def __init__(self, encoder: BertEncoder | PackedEncoder, tokenizer: Tokenizer) -> None:
        # The file of MiniLM cuts at 128 and pads to 128; the encoder reads 256.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._special = tokenizer.num_special_tokens_to_add(False)
        self.dimension = encoder.settings.dimension
        self.max_tokens = encoder.settings.max_tokens - self._special

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        # As every encoder does with a text too long; the splitter sees to it that none of a document is.
        closing = self._special // 2
        keep = self.max_tokens + self._special - closing
        rows = [row if len(row) <= keep + closing else [*row[:keep], *row[len(row) - closing :]] for row in rows]
        return self._encoder.encode(rows, batch_size)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(row.ids) for row in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class _SentenceTransformer:
    """Any other model, as `sentence_transformers` runs it."""

    def __init__(self, folder: Path, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model: Any = SentenceTransformer(str(folder), device=device)
        # Renamed in version 5.
        named = getattr(self._model, "get_embedding_dimension", None) or self._model.get_sentence_embedding_dimension
        self.dimension = int(named() or 0)
        limit = self._model.max_seq_length or self._model.tokenizer.model_max_length
        self.max_tokens = int(min(limit, 1 << 20)) - int(self._model.tokenizer.num_special_tokens_to_add())

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        vectors = self._model.encode(
            list(texts), batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        rows = self._model.tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]
        return [len(row) for row in rows]
