"""Adding a document never blocks another visitor's answer: the addition is held by an event, not by a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ScriptedGenerator

from rag_core import Progress, RagConfig, RagPipeline
from rag_core.encoder.embedding import LocalEmbedder, Vectors, create_embedder
from rag_core.indexing import vectors as vectors_module
from rag_core.words import lexical as lexical_module

pytestmark = pytest.mark.usefixtures("one_thread")
# An addition that cannot go on would hang the test; so would an answer that waits for it.
PATIENCE_SECONDS = 120


class Gate:
    """Holds the first thread that comes, until it is opened; later ones pass."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def wait(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.open.wait(PATIENCE_SECONDS)


class GatedEmbedder(LocalEmbedder):
    """The real embedder; the thread called `adding` is held before it embeds."""

    gate: Gate | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        if self.gate and threading.current_thread().name == "adding":
            self.gate.wait()
        return super().encode(texts)


def at_stage(gate: Gate, stage: str) -> Callable[[Progress], None]:
    return lambda progress: gate.wait() if progress.stage == stage else None


@contextmanager
def held_addition(
    visitor: RagPipeline, path: Path, gate: Gate, on_progress: Callable[[Progress], None] | None = None
) -> Iterator[None]:
    """Add a document in another thread, and hold it at the gate while the block runs."""
    failed: list[BaseException] = []

    def add() -> None:
        try:
            visitor.add_document(path, on_progress=on_progress)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=add, name="adding")
    thread.start()
    assert gate.reached.wait(PATIENCE_SECONDS)
    try:
        yield
        assert thread.is_alive()
        assert not visitor.documents()
    finally:
        gate.open.set()
        thread.join(PATIENCE_SECONDS)
    assert not failed
    assert len(visitor.documents()) == 1


@pytest.mark.parametrize(
    "place", ["reading", "splitting", "embedding", "inside the embedder", "saving", "inside Chroma"]
)
def test_another_visitor_is_answered_while_a_document_is_added(
    samples: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    gate = Gate()
    embedder = GatedEmbedder(RagConfig().embedding)
    generator = ScriptedGenerator(*["A haircut is a part of the market value."] * 2)
    on_progress = at_stage(gate, place) if place in ("reading", "splitting", "embedding", "saving") else None
    with RagPipeline(RagConfig(), embedder=embedder, generator=generator) as rag:
        one, other = rag.session(), rag.session()
        other.add_document(samples / "haircut.txt")
        if place == "inside the embedder":
            embedder.gate = gate
        if place == "inside Chroma":
            real = vectors_module.VectorStore._add

            def slow(store: vectors_module.VectorStore, keys: Sequence[vectors_module.WindowKey]) -> None:
                gate.wait()
                real(store, keys)

            monkeypatch.setattr(vectors_module.VectorStore, "_add", slow)
        with held_addition(one, samples / "options.md", gate, on_progress):
            answer = other.ask("What is a haircut?")
            assert answer.citations
            assert other.search("initial margin")
        one.close()
        other.close()


def test_an_own_document_can_be_searched_while_the_next_is_added(samples: Path) -> None:
    gate = Gate()
    with RagPipeline(RagConfig(), embedder=create_embedder(RagConfig()), generator=ScriptedGenerator()) as rag:
        rag.add_document(samples / "haircut.txt")
        failed: list[BaseException] = []

        def add() -> None:
            try:
                rag.add_document(samples / "options.md", on_progress=at_stage(gate, "saving"))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=add)
        thread.start()
        assert gate.reached.wait(PATIENCE_SECONDS)
        hits = rag.search("What is a haircut?")
        gate.open.set()
        thread.join(PATIENCE_SECONDS)
        assert {hit.document.name for hit in hits} == {"haircut.txt"}
        assert not failed
        assert len(rag.documents()) == 2


def test_words_are_counted_outside_of_every_lock(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    real = lexical_module.terms

    def held(text: str) -> list[str]:
        # Words are read in a thread beside the one that adds the document, named after that.
        if threading.current_thread().name.startswith("adding"):
            gate.wait()
        return real(text)

    monkeypatch.setattr(lexical_module, "terms", held)
    generator = ScriptedGenerator("A haircut is a part of the market value.")
    with RagPipeline(RagConfig(), embedder=create_embedder(RagConfig()), generator=generator) as rag:
        one, other = rag.session(), rag.session()
        other.add_document(samples / "haircut.txt")
        with held_addition(one, samples / "options.md", gate):
            assert other.ask("What is a haircut?").citations
        one.close()
        other.close()


def test_the_first_search_of_a_folder_reads_words_outside_of_its_lock(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RagConfig().with_setting("index.directory", tmp_path)
    with RagPipeline(config, embedder=create_embedder(RagConfig())) as rag:
        kept = rag.add_document(samples / "haircut.txt")
        gone = rag.add_document(samples / "options.md")
    gate = Gate()
    real = lexical_module.terms

    def held(text: str) -> list[str]:
        if threading.current_thread().name == "searching":
            gate.wait()
        return real(text)

    monkeypatch.setattr(lexical_module, "terms", held)
    with RagPipeline(config, embedder=create_embedder(RagConfig())) as rag:
        thread = threading.Thread(target=lambda: rag.search("initial margin"), name="searching")
        thread.start()
        assert gate.reached.wait(PATIENCE_SECONDS)
        try:
            rag.remove_document(gone.id)
            assert [document.id for document in rag.documents()] == [kept.id]
            assert thread.is_alive()
        finally:
            gate.open.set()
            thread.join(PATIENCE_SECONDS)
        # Its words came after it was removed, and went again.
        assert {match.key[0] for match in rag.index.lexical().search("option premium margin", 50)} == {kept.id}
