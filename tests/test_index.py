"""The index: what is in it stays, what was removed is gone, and half a document is never taken for a whole one.

About 20 s on two idle cores.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from index_killer import BATCH, SPLITTING, config, document

from rag_core import (
    Document,
    DocumentNotFoundError,
    DocumentTooLargeError,
    IndexStateError,
    Progress,
    RagConfig,
)
from rag_core.chunking.splitting import split_document
from rag_core.config import LimitsConfig
from rag_core.encoder.embedding import LocalEmbedder, create_embedder
from rag_core.indexing import index as index_module
from rag_core.indexing import storage
from rag_core.indexing import vectors as vectors_module
from rag_core.indexing.index import DocumentIndex
from rag_core.indexing.vectors import WindowKey

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parent.parent
EMBEDDER = create_embedder(RagConfig())
KEPT = document("a" * 64, "The quetzal bond matures in June 2027.\nIt pays a coupon of 4.2 percent.\n")
OTHER = document("c" * 64, "Haircuts on government debt are small.\n")
# Words that stand in no other file, so that what is left of them can be found; 80 windows.
LONG = document("b" * 64, "".join(f"Xylophon ledger line {number} of the zugzwang fund.\n" for number in range(80)))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches of vectors from a short text."""
    monkeypatch.setattr(vectors_module, "_BATCH", BATCH)


def add(index: DocumentIndex, given: Document, on_progress: Callable[[Progress], None] | None = None) -> Document:
    return index.add(given, split_document(given, SPLITTING, EMBEDDER), on_progress)


def open_index(folder: Path | None) -> DocumentIndex:
    return DocumentIndex(config(folder) if folder else RagConfig(splitting=SPLITTING), EMBEDDER)


@contextmanager
def opened(folder: Path | None) -> Iterator[DocumentIndex]:
    index = open_index(folder)
    try:
        yield index
    finally:
        index.close()


def windows_of(index: DocumentIndex, document_id: str) -> list[WindowKey]:
    return [
        WindowKey(document_id, chunk.number, number)
        for chunk in index.chunks(document_id)
        for number in range(len(chunk.windows))
    ]


def check_whole(index: DocumentIndex, given: Document) -> None:
    """The document is there with all its vectors, each the right one, and is found by meaning and by words."""
    found = index.get(given.id)
    assert found.text == given.text
    keys = windows_of(index, given.id)
    assert len(keys) == found.window_count > 0
    vectors = index.vectors(keys)
    assert set(vectors) == set(keys)
    chunk = index.chunks(given.id)[0]
    window = chunk.windows[0]
    expected = EMBEDDER.encode([given.text[window.start : window.end]])[0]
    assert float(vectors[WindowKey(given.id, 0, 0)] @ expected) > 0.999
    assert given.id in {near.key.document_id for near in index.nearest(expected, 5)}
    assert given.id in {match.key[0] for match in index.lexical().search(chunk.text, 5)}


def check_absent(index: DocumentIndex, given: Document, folder: Path | None) -> None:
    """Nothing of the document is left: no record, no vector, no word, and on disk not even its id."""
    assert not index.has(given.id)
    assert given.id not in {item.id for item in index.documents()}
    with pytest.raises(DocumentNotFoundError):
        index.get(given.id)
    vector = EMBEDDER.encode([given.text[:80]])[0]
    assert given.id not in {near.key.document_id for near in index.nearest(vector, 1_000)}
    assert index.vectors([WindowKey(given.id, chunk, 0) for chunk in range(100)]) == {}
    assert given.id not in {match.key[0] for match in index.lexical().search(given.text[:80], 1_000)}
    if folder is not None:
        words = (given.id.encode(), b"zugzwang", b"ugzwang")
        for path in folder.rglob("*"):
            assert given.id not in path.name
            assert not path.name.endswith(".part")
            if path.is_file():
                content = path.read_bytes()
                assert not any(word in content for word in words), path


def test_no_memory_of_the_process_stays_in_files_with_room_to_spare(tmp_path: Path) -> None:
    """What lies beyond the last vector is whatever the memory held when Chroma wrote its buffers."""
    with opened(tmp_path) as index:
        add(index, LONG)
    padded = [path for name in ("length.bin", "data_level0.bin") for path in tmp_path.rglob(name)]
    assert len(padded) == 2
    for path in padded:
        content = path.read_bytes()
        path.write_bytes(content[:-8] + b"zugzwang")
    with opened(tmp_path) as index:
        assert index.documents()
        assert index.nearest(EMBEDDER.encode([LONG.text[:80]])[0], 5)
    for path in padded:
        assert path.read_bytes().endswith(bytes(8)), path


# Persistence ----------------------------------------------------------------------------------------------------------


_ASK_AGAIN = """
import sys
from rag_core import RagConfig, RagPipeline
stages = []
rag = RagPipeline(RagConfig().with_setting("index.directory", sys.argv[1]))
for path in sys.argv[2:]:
    document = rag.add_document(path, on_progress=lambda progress: stages.append(progress.stage))
print(document.id, len(rag.documents()), "embedding" in stages, "loading" in stages, rag.embedder.loaded)
"""


def second_process(folder: Path, *files: Path) -> list[str]:
    command = [sys.executable, "-c", _ASK_AGAIN, str(folder), *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_second_process_embeds_nothing_and_others_see_what_it_adds(tmp_path: Path) -> None:
    from rag_core import RagPipeline

    first, copy, new = (tmp_path / name for name in ("first.txt", "copy.txt", "new.txt"))
    for path, text in ((first, KEPT.text), (copy, KEPT.text), (new, OTHER.text)):
        path.write_text(text, encoding="utf-8")
    folder = tmp_path / "chroma_db"
    with RagPipeline(RagConfig().with_setting("index.directory", folder), embedder=EMBEDDER) as rag:
        known = rag.add_document(first)
        assert second_process(folder, first, copy) == [known.id, "1", "False", "False", "False"]
        assert rag.search("When does the bond mature?")[0].document == known
        identity, *rest = second_process(folder, new)
        assert rest == ["2", "True", "True", "True"]
        # The index that was open all along finds the other's document, by meaning and by words.
        assert [item.id for item in rag.documents()] == [known.id, identity]
        assert rag.search("What haircut has government debt?")[0].document.id == identity


def test_what_was_added_is_there_after_closing(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        counted = add(index, KEPT)
        chunks = index.chunks(KEPT.id)
    with opened(tmp_path) as index:
        assert index.documents() == [counted]
        assert index.chunks(KEPT.id) == chunks
        check_whole(index, KEPT)


@pytest.mark.parametrize("persisted", [False, True])
def test_adding_again_changes_nothing(tmp_path: Path, persisted: bool) -> None:
    seen: list[Progress] = []
    with opened(tmp_path if persisted else None) as index:
        counted = add(index, KEPT)
        assert add(index, replace(KEPT, name="other.txt"), seen.append) == counted
        assert seen == []
        assert len(index.nearest(EMBEDDER.encode(["bond"])[0], 100)) == counted.window_count


def test_text_of_any_kind_survives(tmp_path: Path) -> None:
    odd = document("e" * 64, "Lone \ud800 surrogate, 収益, é́, \x00 nul, \u2028 line, ￿ end.\n")
    with opened(tmp_path) as index:
        add(index, odd)
    with opened(tmp_path) as index:
        check_whole(index, odd)


class Renamed(LocalEmbedder):
    """The same model under another name, as a later version would have."""

    name = "all-MiniLM-L6-v3"  # type: ignore[assignment]


def test_another_embedder_or_splitter_never_meets_these_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as index:
        add(index, LONG)
        add(index, KEPT)
    seen: list[Progress] = []
    changed = DocumentIndex(config(tmp_path), Renamed(RagConfig().embedding))
    assert changed.documents() == []
    assert changed.nearest(EMBEDDER.encode(["bond"])[0], 10) == []
    add(changed, LONG, seen.append)
    assert "embedding" in {progress.stage for progress in seen}
    with monkeypatch.context() as later:
        later.setattr(index_module, "SPLITTER_VERSION", "next")
        with opened(tmp_path) as index:
            assert index.documents() == []
            add(index, LONG)
            # Removed means gone, whatever it was embedded by.
            index.remove(LONG.id)
            check_absent(index, LONG, tmp_path)
    check_absent(changed, LONG, tmp_path)
    changed.close()
    with opened(tmp_path) as index:
        assert [item.id for item in index.documents()] == [KEPT.id]
        check_whole(index, KEPT)


def test_vectors_from_before_a_change_to_the_embedder_are_not_taken(tmp_path: Path) -> None:
    before = config(tmp_path).with_setting("embedding.change", "none")
    with closing(DocumentIndex(before, create_embedder(before))) as index:
        add(index, KEPT)
        old = index.nearest(EMBEDDER.encode(["bond"])[0], 1)[0]
    seen: list[Progress] = []
    with opened(tmp_path) as index:
        assert index.documents() == []
        add(index, KEPT, seen.append)
        assert "embedding" in {progress.stage for progress in seen}
        (vector,) = index.vectors([old.key]).values()
        check_whole(index, KEPT)
    with closing(DocumentIndex(before, create_embedder(before))) as index:
        assert [item.id for item in index.documents()] == [KEPT.id]
        assert float(vector @ index.vectors([old.key])[old.key]) < 0.996


# Removal and failure --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persisted", [False, True])
def test_removal_leaves_nothing_and_touches_nothing_else(tmp_path: Path, persisted: bool) -> None:
    folder = tmp_path if persisted else None
    with opened(folder) as index:
        add(index, KEPT)
        add(index, LONG)
        index.remove(LONG.id)
        check_absent(index, LONG, folder)
        check_whole(index, KEPT)
        with pytest.raises(DocumentNotFoundError):
            index.remove(LONG.id)
        add(index, LONG)
        check_whole(index, LONG)
        index.clear()
        check_absent(index, LONG, folder)
        assert index.documents() == []


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize(("stage", "least"), [("embedding", 0), ("embedding", 64), ("saving", 0), ("saving", BATCH)])
def test_an_addition_that_is_cancelled_leaves_nothing(tmp_path: Path, persisted: bool, stage: str, least: int) -> None:
    def cancel(progress: Progress) -> None:
        if progress.stage == stage and progress.done >= least:
            raise Cancelled

    folder = tmp_path if persisted else None
    with opened(folder) as index:
        add(index, KEPT)
        with pytest.raises(Cancelled):
            add(index, LONG, cancel)
        check_absent(index, LONG, folder)
        check_whole(index, KEPT)


def test_more_documents_than_allowed_are_refused() -> None:
    limited = replace(RagConfig(splitting=SPLITTING), limits=LimitsConfig(documents=1))
    index = DocumentIndex(limited, EMBEDDER)
    add(index, KEPT)
    with pytest.raises(DocumentTooLargeError, match="remove one"):
        add(index, OTHER)
    add(index, KEPT)
    index.remove(KEPT.id)
    add(index, OTHER)
    index.close()


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        index = open_index(folder)
        add(index, KEPT)
        index.close()
        index.close()
        for use in (index.documents, index.lexical, lambda: add(index, OTHER)):  # noqa: B023
            with pytest.raises(IndexStateError, match="closed"):
                use()


# Killed ---------------------------------------------------------------------------------------------------------------

ADDING = [
    "add: embedding",
    "add: before the first vector",
    "add: after the first vectors",
    "add: inside Chroma",
    "add: before the record",
    "add: record not yet in place",
]
REMOVING = ["remove: after the record", "remove: vectors half rewritten", "remove: before the old vectors go"]
COMMITTED = "add: after the record"
FIRST = "add: after the first vectors"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders in which a process was killed by SIGKILL, by where it was then; `first` had no document before."""
    base = tmp_path_factory.mktemp("killed")
    (base / "one").mkdir()
    (base / "two").mkdir()
    with opened(base / "one") as index:
        add(index, KEPT)
    with opened(base / "two") as index:
        add(index, KEPT)
        add(index, LONG)
    folders, jobs = {}, []
    for number, point in enumerate([*ADDING, COMMITTED, *REMOVING, FIRST]):
        name = "first" if number == len(ADDING) + len(REMOVING) + 1 else point
        folders[name] = base / str(number)
        if name != "first":
            shutil.copytree(base / ("two" if point in REMOVING else "one"), folders[name])
        jobs.append([point, str(folders[name]), LONG.id, LONG.text])
    (base / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).parent / "index_killer.py"), str(base / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = [line.split("\t") for line in done.stdout.splitlines()]
    assert ends == [[point, str(int(signal.SIGKILL))] for point, *_ in jobs], done.stderr[-2_000:]
    return folders


@pytest.mark.parametrize("point", ADDING)
def test_an_addition_that_was_killed_is_never_taken_for_whole(killed: dict[str, Path], point: str) -> None:
    with opened(killed[point]) as index:
        assert [item.id for item in index.documents()] == [KEPT.id]
        check_absent(index, LONG, killed[point])
        check_whole(index, KEPT)
    seen: list[Progress] = []
    with opened(killed[point]) as index:
        add(index, LONG, seen.append)
        assert seen[0] == Progress("embedding", 0, index.get(LONG.id).window_count)
        check_whole(index, LONG)
        check_whole(index, KEPT)
        assert len(index.nearest(EMBEDDER.encode(["ledger"])[0], 5_000)) == sum(
            item.window_count for item in index.documents()
        )


def test_the_next_addition_repairs_without_a_search_before(killed: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(killed["first"], folder)
    with opened(folder) as index:
        assert index.documents() == []
        add(index, LONG)
        check_whole(index, LONG)
        count = index.get(LONG.id).window_count
        assert len(index.nearest(EMBEDDER.encode(["ledger"])[0], 5_000)) == count
    with opened(killed["first"]) as index:
        check_absent(index, LONG, killed["first"])


def test_an_addition_that_was_killed_after_its_record_is_whole(killed: dict[str, Path]) -> None:
    seen: list[Progress] = []
    with opened(killed[COMMITTED]) as index:
        check_whole(index, LONG)
        check_whole(index, KEPT)
        add(index, LONG, seen.append)
        assert seen == []


@pytest.mark.parametrize("point", REMOVING)
def test_a_removal_that_was_killed_is_finished_by_the_next_use(killed: dict[str, Path], point: str) -> None:
    with opened(killed[point]) as index:
        assert [item.id for item in index.documents()] == [KEPT.id]
        check_absent(index, LONG, killed[point])
        check_whole(index, KEPT)
    assert len(list(killed[point].glob("*/vectors-*"))) == 1


# Several at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persisted", [False, True])
def test_adding_removing_and_searching_go_together(tmp_path: Path, persisted: bool) -> None:
    texts = [f"Report {number}: the zebra fund number {number} earned {number * 7} percent.\n" for number in range(12)]
    given = [document(f"{number:064x}", text) for number, text in enumerate(texts)]
    vector = EMBEDDER.encode(["zebra fund"])[0]
    errors: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with opened(tmp_path if persisted else None) as index:
        add(index, KEPT)

        def search() -> None:
            while not done.is_set():
                assert all(-1.001 <= near.cosine <= 1.001 for near in index.nearest(vector, 5))
                assert len(index.lexical().search("quetzal bond", 5)) >= 1

        def write(part: int) -> None:
            for number in range(part, 12, 3):
                add(index, given[number])
                if number % 2:
                    index.remove(given[number].id)

        searchers = [guarded(search) for _ in range(2)]
        writers = [guarded(lambda part=part: write(part)) for part in range(3)]
        for thread in writers:
            thread.join()
        done.set()
        for thread in searchers:
            thread.join()
        assert errors == []
        assert {item.id for item in index.documents()} == {KEPT.id, *(item.id for item in given[::2])}
        for item in (KEPT, *given[::2]):
            check_whole(index, item)
        for item in given[1::2]:
            check_absent(index, item, None)


def test_two_indexes_in_memory_never_meet() -> None:
    with opened(None) as one, opened(None) as two:
        add(one, KEPT)
        add(two, LONG)
        check_absent(one, LONG, None)
        check_absent(two, KEPT, None)
        one.clear()
        check_whole(two, LONG)


def test_an_index_in_memory_gives_its_vectors_back() -> None:
    index = open_index(None)
    add(index, KEPT)
    index.close()
    with opened(None) as fresh:
        assert fresh.documents() == []
        assert fresh.nearest(EMBEDDER.encode(["bond"])[0], 5) == []


# Folders that cannot be used ------------------------------------------------------------------------------------------


def folder_of(root: Path) -> Path:
    (found,) = root.glob("index-*")
    return found


def refused(use: Callable[[], object], words: str) -> None:
    with pytest.raises(IndexStateError, match=words) as caught:
        use()
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None or "format" in str(caught.value) or "Another" in str(caught.value)


def test_a_folder_that_another_process_writes_to_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as index:
        add(index, KEPT)
        with (folder_of(tmp_path) / "writer.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            monkeypatch.setattr(storage, "_LOCK_SECONDS", 0.05)
            refused(lambda: add(index, OTHER), "Another process")
            # Reading needs no such lock.
            check_whole(index, KEPT)
            fcntl.flock(lock, fcntl.LOCK_UN)
            monkeypatch.undo()
            add(index, OTHER)
            check_whole(index, OTHER)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused(lambda: open_index(tmp_path / "file"), "RAG_INDEX_DIR")
    refused(lambda: open_index(tmp_path / "file" / "below"), "RAG_INDEX_DIR")


def test_a_folder_that_is_not_writable_is_told() -> None:
    user = os.geteuid()
    # Not pytest's own folder, which lets in nobody but its owner.
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        with opened(base / "index") as index:
            add(index, KEPT)
        for path in (base, *base.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            if user == 0:
                # A superuser may write anywhere: be nobody for a moment.
                os.seteuid(65_534)
            refused(lambda: open_index(base / "new"), "not writable.*RAG_INDEX_DIR")
            refused(lambda: add(open_index(base / "index"), OTHER), "not writable.*RAG_INDEX_DIR")
        finally:
            os.seteuid(user)
            for path in (base, *base.rglob("*")):
                path.chmod(0o755)


def garble(path: Path) -> None:
    path.write_bytes(b"\xff{ not what it was")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 1}', "\udcff", '{"a": 1}'])
def test_a_damaged_state_is_told(tmp_path: Path, content: str) -> None:
    with opened(tmp_path) as index:
        add(index, KEPT)
    (folder_of(tmp_path) / "index.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(lambda: open_index(tmp_path), "damaged; delete the folder")


def test_another_format_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        add(index, KEPT)
    path = folder_of(tmp_path) / "index.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "format": 99}))
    refused(lambda: open_index(tmp_path), "format 99")
    path.write_text(json.dumps({**state, "vectors": "../../elsewhere"}))
    refused(lambda: open_index(tmp_path), "delete the folder")


@pytest.mark.parametrize("damage", ["garbled", "another span", "a missing field", "another type"])
def test_a_damaged_record_is_told_by_name(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as index:
        add(index, KEPT)
    path = folder_of(tmp_path) / "records" / f"{KEPT.id}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if damage == "garbled":
        path.write_text("{")
    elif damage == "another span":
        content["chunks"][0]["end"] = 10**6
    elif damage == "a missing field":
        del content["document"]["name"]
    else:
        content["chunks"] = 3
    if damage != "garbled":
        path.write_text(json.dumps(content))
    refused(lambda: open_index(tmp_path), f"{path.name} is damaged; delete that file")


def test_damaged_vectors_are_told(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        add(index, KEPT)
    for path in tmp_path.rglob("chroma.sqlite3"):
        garble(path)
    with opened(tmp_path) as index:
        refused(lambda: index.nearest(np.ones(384, dtype=np.float32), 3), "delete it and add the files again")
        refused(lambda: add(index, OTHER), "delete it and add the files again")


def test_a_document_whose_vectors_were_lost_is_not_taken_for_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        add(index, KEPT)
    for path in tmp_path.glob("*/vectors-*"):
        shutil.rmtree(path)
    with opened(tmp_path) as index:
        assert index.nearest(EMBEDDER.encode(["bond"])[0], 5) == []
        assert index.documents() == []
        add(index, KEPT)
        check_whole(index, KEPT)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "index") as index:
        add(index, KEPT)
    (folder,) = (tmp_path / "index").glob("index-*")
    assert folder.stat().st_mode & 0o077 == 0
