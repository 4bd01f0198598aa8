"""The whole path on the real embedded models: real files, MiniLM, Chroma and SmolLM2."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ScriptedGenerator

from rag_core import (
    DocumentNotFoundError,
    DoneEvent,
    EmptyDocumentError,
    Message,
    QuestionError,
    RagConfig,
    RagPipeline,
    TextEvent,
)
from rag_core.answers.citing import verify

LOAN = """# Financing note

## Bank loan

The bank loan of EUR 50 million carries interest of 4.2 percent and matures in June 2027.
It is secured by the plant in Ghent.

## Dividend

The board proposes a dividend of EUR 1.30 per share for 2023. In 2022 the dividend was EUR 1.10 per share.
"""
CHEESE = "Gouda is a mild cheese from the Netherlands. It is made of cow's milk and ripens for months.\n"


@pytest.fixture(scope="module")
def shared() -> RagPipeline:
    return RagPipeline(RagConfig())


@pytest.fixture
def rag(shared: RagPipeline) -> Iterator[RagPipeline]:
    with shared.session() as session:
        yield session


@pytest.fixture
def loan(tmp_path: Path) -> Path:
    path = tmp_path / "loan.md"
    path.write_text(LOAN, encoding="utf-8")
    return path


@pytest.fixture
def cheese(tmp_path: Path) -> Path:
    path = tmp_path / "cheese.txt"
    path.write_text(CHEESE, encoding="utf-8")
    return path


def test_a_question_is_answered_from_the_document_with_a_verbatim_citation(rag: RagPipeline, loan: Path) -> None:
    document = rag.add_document(loan)
    assert (document.name, document.page_count) == ("loan.md", 1)
    assert document.chunk_count >= 1
    answer = rag.ask("When does the bank loan mature?")
    assert not answer.abstained
    assert "2027" in answer.text
    assert answer.citations
    assert all(verify(citation) for citation in answer.citations)
    assert any("June 2027" in citation.quote for citation in answer.citations)
    assert "135M" in answer.model


def test_what_cannot_be_looked_up_is_written_by_the_model(rag: RagPipeline, loan: Path) -> None:
    rag.add_document(loan)
    answer = rag.ask("Does the bank loan mature in June 2027?")
    assert answer.tokens.prompt > 0
    assert answer.tokens.completion > 0


def test_the_stream_is_the_answer_piece_by_piece(rag: RagPipeline, loan: Path) -> None:
    rag.add_document(loan)
    events = list(rag.stream("Does the bank loan carry interest of 4.2 percent?"))
    kinds = [event.kind for event in events]
    assert kinds[-2:] == ["citations", "done"]
    assert set(kinds[:-2]) == {"text"}
    assert len(kinds) > 4
    assert isinstance(events[-1], DoneEvent)
    assert "".join(event.text for event in events if isinstance(event, TextEvent)) == events[-1].answer.text


def test_closing_the_stream_frees_the_model_for_the_next_question(rag: RagPipeline, loan: Path) -> None:
    rag.add_document(loan)
    before = threading.active_count()
    stream = rag.stream("Does the bank loan carry interest of 4.2 percent?")
    assert isinstance(next(stream), TextEvent)
    stream.close()
    assert rag.ask("When does the bank loan mature?").text
    assert threading.active_count() <= before + 1


def test_a_question_about_something_else_abstains(rag: RagPipeline, cheese: Path) -> None:
    rag.add_document(cheese)
    answer = rag.ask("What was the company's diluted earnings per share in fiscal 2019?")
    assert answer.abstained
    assert answer.citations == ()
    assert answer.reason


def test_a_follow_up_is_searched_with_its_history_resolved(rag: RagPipeline, loan: Path) -> None:
    rag.add_document(loan)
    history = [
        Message("user", "What dividend does the board propose for 2023?"),
        Message("assistant", "EUR 1.30 per share."),
    ]
    answer = rag.ask("and in 2022?", history)
    assert answer.query == "What dividend does the board propose for 2022?"
    assert "1.10" in answer.hits[0].text
    as_mappings = [{"role": message.role, "content": message.content} for message in history]
    assert rag.ask("and in 2022?", as_mappings).query == answer.query


def test_search_returns_exact_spans_best_first(rag: RagPipeline, loan: Path, cheese: Path) -> None:
    rag.add_document(loan)
    rag.add_document(cheese)
    hits = rag.search("dividend per share", k=2)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[0].document.name == "loan.md"
    for hit in hits:
        assert hit.text == hit.document.text[hit.start : hit.end]
        assert hit.start <= hit.focus.start < hit.focus.end <= hit.end
        assert 0.0 <= hit.score <= 1.0


def test_the_search_can_be_narrowed_to_documents(rag: RagPipeline, loan: Path, cheese: Path) -> None:
    rag.add_document(loan)
    other = rag.add_document(cheese)
    hits = rag.search("dividend per share", document_ids=[other.id])
    assert {hit.document.id for hit in hits} <= {other.id}
    with pytest.raises(DocumentNotFoundError):
        rag.search("dividend", document_ids=["0" * 64])


def test_adding_is_idempotent_by_content_and_removing_removes(rag: RagPipeline, loan: Path, tmp_path: Path) -> None:
    document = rag.add_document(loan)
    copy = tmp_path / "copy.md"
    copy.write_bytes(loan.read_bytes())
    assert rag.add_document(copy).id == document.id
    assert len(rag.documents()) == 1
    rag.remove_document(document.id)
    assert rag.documents() == ()
    with pytest.raises(DocumentNotFoundError):
        rag.get_document(document.id)
    with pytest.raises(DocumentNotFoundError):
        rag.remove_document(document.id)
    with pytest.raises(QuestionError, match="add one first"):
        rag.ask("When does the bank loan mature?")


def test_sessions_do_not_see_each_other(shared: RagPipeline, loan: Path, cheese: Path) -> None:
    with shared.session() as first, shared.session() as second:
        mine = first.add_document(loan)
        second.add_document(cheese)
        assert [document.name for document in first.documents()] == ["loan.md"]
        assert [document.name for document in second.documents()] == ["cheese.txt"]
        assert all(hit.document.name == "cheese.txt" for hit in second.search("bank loan dividend"))
        with pytest.raises(DocumentNotFoundError):
            second.get_document(mine.id)
        first.close()
        assert [document.name for document in second.documents()] == ["cheese.txt"]


def test_a_refused_document_leaves_nothing(rag: RagPipeline, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    with pytest.raises(EmptyDocumentError):
        rag.add_document(empty)
    assert rag.documents() == ()


def test_an_interrupted_addition_leaves_nothing_and_can_be_repeated(rag: RagPipeline, loan: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(progress: object) -> None:
        if getattr(progress, "stage", "") == "embedding":
            raise Interrupted

    with pytest.raises(Interrupted):
        rag.add_document(loan, on_progress=interrupt)
    assert rag.documents() == ()
    assert rag.add_document(loan).chunk_count >= 1


def test_progress_names_each_stage(rag: RagPipeline, loan: Path) -> None:
    stages: list[str] = []
    rag.add_document(loan, on_progress=lambda progress: stages.append(progress.stage))
    seen = [stage for index, stage in enumerate(stages) if index == 0 or stages[index - 1] != stage]
    assert [stage for stage in seen if stage in ("reading", "splitting", "embedding")] == [
        "reading",
        "splitting",
        "embedding",
    ]


@pytest.mark.parametrize("question", ["", "   \n", "x" * 9_000])
def test_a_question_that_cannot_be_asked_is_told_at_the_call(rag: RagPipeline, loan: Path, question: str) -> None:
    rag.add_document(loan)
    with pytest.raises(QuestionError):
        rag.stream(question)


def test_the_runnable_invokes_streams_batches_and_composes(shared: RagPipeline, loan: Path) -> None:
    from langchain_core.runnables import RunnableLambda

    generator = ScriptedGenerator(*["The bank loan matures in June 2027."] * 5)
    with RagPipeline(shared.config, embedder=shared.embedder, generator=generator) as rag:
        rag.add_document(loan)
        chain = rag.as_runnable()
        question = "When does the bank loan mature?"
        assert chain.invoke(question) == "The bank loan matures in June 2027."
        assert len(list(chain.stream(question))) > 3
        assert chain.batch([question, question]) == ["The bank loan matures in June 2027."] * 2
        shout = chain | RunnableLambda(str.upper)
        assert shout.invoke(question) == "THE BANK LOAN MATURES IN JUNE 2027."


def test_an_index_on_disk_serves_the_next_process_without_embedding_again(
    shared: RagPipeline, loan: Path, tmp_path: Path
) -> None:
    config = RagConfig().with_setting("index.directory", tmp_path / "index")
    with RagPipeline(config, embedder=shared.embedder, generator=shared.generator) as first:
        added = first.add_document(loan)
    with RagPipeline(config, embedder=shared.embedder, generator=shared.generator) as second:
        stages: list[str] = []
        again = second.add_document(loan, on_progress=lambda progress: stages.append(progress.stage))
        assert again == added
        assert "embedding" not in stages
        assert "1.30" in second.search("dividend for 2023")[0].text
        second.remove_document(again.id)
    with RagPipeline(config, embedder=shared.embedder, generator=shared.generator) as third:
        assert third.documents() == ()
    left = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert b"plant in Ghent" not in left
