"""The whole path in one object: documents in, answers with exact citations out. Only this module knows every stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rag_core.answers.answering import stream_answer
from rag_core.answers.cascade import CascadeReader
from rag_core.answers.nearness import WordNearness
from rag_core.answers.reader import Reader, SpanReader
from rag_core.answers.readingmodels import encoder_model, generator_model
from rag_core.chunking.splitting import split_document
from rag_core.config import RagConfig
from rag_core.dialogue.followup import resolve_question
from rag_core.encoder.embedding import Embedder, create_embedder
from rag_core.engines import create_generator
from rag_core.errors import DocumentTooLargeError, QuestionError, RagError
from rag_core.generation import StartsEarly, TextGenerator
from rag_core.indexing.index import DocumentIndex
from rag_core.loading import load_document
from rag_core.loading.starting import SPARE
from rag_core.policy import policy_for
from rag_core.records import Answer, AnswerEvent, Document, DoneEvent, Hit, Message, Progress, ProgressCallback
from rag_core.search.ranking import WindowRanker
from rag_core.search.reranking import Reranker, create_reranker
from rag_core.search.rereading import Rereader
from rag_core.search.retrieval import Retriever

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

__all__ = ["History", "RagPipeline"]

# What callers may pass as history: messages, or mappings with `role` and `content` as chat interfaces keep them.
History = Sequence[Message | Mapping[str, Any]]


class RagPipeline:
    """Documents of one owner, and the models that answer about them. Nothing is loaded before it is needed.

    Thread-safe: documents may be added while another thread asks. `session()` gives a second, private set of documents
    over the same models. Use as a context manager, or call `close()`.
    """

    def __init__(
        self,
        config: RagConfig | None = None,
        *,
        embedder: Embedder | None = None,
        generator: TextGenerator | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self.config = config or RagConfig()
        self.embedder = embedder or create_embedder(self.config)
        self.generator = generator or create_generator(self.config)
        self.reranker = reranker or create_reranker(self.config)
        self._nearness = WordNearness(self.embedder)
        cache = self.config.cache_directory
        self._reader = SpanReader(partial(encoder_model, cache)) if self.config.generation.reader else None
        self._answering: Reader | None = self._reader
        if self._reader is not None and self.config.generation.close_reader:
            self._answering = CascadeReader(self._reader, partial(generator_model, cache))
        self._rereader = Rereader(WindowRanker(cache)) if self.config.retrieval.reread else None
        self._index: DocumentIndex | None = None
        self._lock = threading.RLock()
        self._load_status: Progress | None = None

    # Documents -------------------------------------------------------------------------------------------------------

    def add_document(
        self, path: str | Path, *, name: str | None = None, on_progress: ProgressCallback | None = None
    ) -> Document:
        """Read, split, embed and index a file; the same content again comes back at once, under its first name.

        Raises DocumentError (see rag_core.errors for its kinds), IndexStateError, or ModelError. On any error, or when
        `on_progress` raises, nothing of the document stays.
        """
        document = load_document(path, self.config.limits, name=name, on_progress=on_progress)
        index = self.index
        if index.has(document.id):
            return index.get(document.id)
        if len(index.documents()) >= self.config.limits.documents:
            raise DocumentTooLargeError(
                f"There are {self.config.limits.documents} documents already, the most that are kept; remove one first"
            )
        self.embedder.load(on_progress)
        if on_progress:
            on_progress(Progress("splitting"))
        chunks = split_document(document, self.config.splitting, self.embedder)
        return index.add(document, chunks, on_progress)

    def documents(self) -> tuple[Document, ...]:
        """Return all documents, in the order in which they were added."""
        return tuple(self.index.documents())

    def get_document(self, document_id: str) -> Document:
        """Return one document. Raises DocumentNotFoundError."""
        return self.index.get(document_id)

    def remove_document(self, document_id: str) -> None:
        """Delete a document's vectors, text and record. Raises DocumentNotFoundError."""
        self.index.remove(document_id)

    # Questions -------------------------------------------------------------------------------------------------------

    def search(
        self,
        question: str,
        k: int | None = None,
        *,
        history: History = (),
        document_ids: Sequence[str] | None = None,
    ) -> list[Hit]:
        """Return the `k` passages that fit the question best (`config.retrieval.k` when None), best first.

        Raises QuestionError for an empty or overlong question, or where there is no document.
        """
        query = resolve_question(self._checked(question), messages_of(history), self._similarity)
        return self._retriever().search(query, k, document_ids)

    def ask(
        self,
        question: str,
        history: History = (),
        *,
        k: int | None = None,
        document_ids: Sequence[str] | None = None,
    ) -> Answer:
        """Return the whole answer to `question`. Raises QuestionError or ModelError."""
        for event in self.stream(question, history, k=k, document_ids=document_ids):
            if isinstance(event, DoneEvent):
                return event.answer
        raise RagError("The answer ended early; ask again")

    def stream(
        self,
        question: str,
        history: History = (),
        *,
        k: int | None = None,
        document_ids: Sequence[str] | None = None,
    ) -> Iterator[AnswerEvent]:
        """Yield text events, then one citations event, then one done event; closing the iterator stops generation.

        `document_ids` narrows the search to those documents. The question is checked at the call, before the first
        event. Raises QuestionError, DocumentNotFoundError or ModelError.
        """
        question = self._checked(question)
        retriever = self._retriever()
        history = messages_of(history)

        def events() -> Iterator[AnswerEvent]:
            started = time.perf_counter()
            query = resolve_question(question, history, self._similarity)
            hits = retriever.search(query, k, document_ids)
            searched = time.perf_counter() - started
            yield from stream_answer(
                question,
                query,
                hits,
                history,
                self.generator,
                self.config,
                started,
                searched,
                self._nearness,
                self._answering,
            )

        return events()

    def as_runnable(self) -> Runnable[str, str]:
        """Return a LangChain Runnable: question in, answer text out, with `.invoke`, `.stream` and `.batch`."""
        from rag_core.runnable import pipeline_runnable

        return pipeline_runnable(self)

    # Models and life cycle -------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Begin in the background what only the first start on a machine does, so that the first answer waits less.

        Returns at once. Raises ModelError where there is no such model.
        """
        if isinstance(self.generator, StartsEarly):
            self.generator.prepare()

    def warm_up(self, on_progress: ProgressCallback | None = None) -> None:
        """Load all models now rather than at the first question, and have a process wait for the first file.

        Raises ModelError; may be called again after one.
        """

        def note(progress: Progress) -> None:
            self._load_status = progress
            if on_progress:
                on_progress(progress)

        note(Progress("loading"))
        SPARE.keep()
        try:
            self.prepare()
            self.embedder.load(note)
            if self._rereader is not None:
                self._rereader.load()
            # Before the reader, which is made from the small generator's converted weights: it tells how that goes.
            self.generator.load(note)
            if self._answering is not None and policy_for(self.generator.name, self.config.generation).extracts:
                note(Progress("loading", detail="reader"))
                self._answering.load()
        finally:
            self._load_status = None

    @property
    def load_status(self) -> Progress | None:
        """What a running `warm_up` is at; None while none runs."""
        return self._load_status

    @property
    def index(self) -> DocumentIndex:
        """The index, opened at first use. Raises IndexStateError."""
        with self._lock:
            if self._index is None:
                self._index = DocumentIndex(self.config, self.embedder)
            return self._index

    def session(self) -> RagPipeline:
        """Return a pipeline with no documents yet, private and in memory, that shares this one's models."""
        private = self.config.with_setting("index.directory", None)
        session = RagPipeline(private, embedder=self.embedder, generator=self.generator, reranker=self.reranker)
        session._nearness, session._rereader = self._nearness, self._rereader
        session._reader, session._answering = self._reader, self._answering
        return session

    def close(self) -> None:
        """Release the index; one in memory is deleted. The models stay with whoever shares them."""
        with self._lock:
            index, self._index = self._index, None
        if index is not None:
            index.close()

    def __enter__(self) -> RagPipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _retriever(self) -> Retriever:
        if not self.index.documents():
            raise QuestionError("There is no document to ask yet; add one first")
        return Retriever(self.index, self.embedder, self.config, self.reranker, self._rereader)

    def _similarity(self, phrase: str, others: Sequence[str]) -> Sequence[float]:
        """Return the cosine, in [-1, 1], of `phrase` with each of `others`."""
        vectors = self.embedder.encode([phrase, *others])
        return [float(cosine) for cosine in vectors[1:] @ vectors[0]]

    def _checked(self, question: str) -> str:
        limit = self.config.limits.question_characters
        if not isinstance(question, str) or not question.strip():
            raise QuestionError("The question is empty; write one")
        if len(question) > limit:
            raise QuestionError(f"The question has {len(question)} characters; ask one of at most {limit}")
        # Halves of characters, which JSON can bring in, are no text for a tokenizer.
        return " ".join(question.encode("utf-8", "replace").decode("utf-8").split())


def messages_of(history: History) -> tuple[Message, ...]:
    """Return `history` as messages; turns that are not text (files, components) are left out.

    Raises QuestionError for an entry that is neither a Message nor a mapping with a known role.
    """
    messages = []
    for entry in history:
        if isinstance(entry, Message):
            messages.append(entry)
            continue
        role = entry.get("role") if isinstance(entry, Mapping) else None
        if role not in ("system", "user", "assistant"):
            raise QuestionError("Each entry of the history needs a role (user or assistant) and a content")
        content = entry.get("content")
        if isinstance(content, str) and role != "system":
            messages.append(Message(role, content))
    return tuple(messages)
