"""Vectors on Chroma's own server, run for real: apart by visitor, shared by processes, gone when they should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app_server import start_server
from chroma_process import ChromaProcess
from gradio_client import handle_file
from index_killer import BATCH, SPLITTING
from test_index import EMBEDDER, KEPT, LONG, add, check_absent, check_whole
from waiting import eventually

from rag_core import ConfigError, IndexStateError, RagConfig, RagPipeline
from rag_core.doctor import examine
from rag_core.indexing import chroma, chroma_server
from rag_core.indexing import vectors as vectors_module
from rag_core.indexing.chroma_server import ChromaServer, connected
from rag_core.indexing.index import DocumentIndex
from rag_core.indexing.vectors import VectorStore, WindowKey

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def chroma_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaProcess]:
    process = ChromaProcess(tmp_path_factory.mktemp("chroma"))
    yield process
    process.kill()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_module, "_BATCH", BATCH)


@pytest.fixture
def server(chroma_process: ChromaProcess) -> Iterator[ChromaServer]:
    made = connected(chroma_process.url)
    yield made
    made.close()
    chroma_server._connection.cache_clear()


def config(url: str, folder: Path | None = None) -> RagConfig:
    made = RagConfig(splitting=SPLITTING).with_setting("index.server", url)
    return made.with_setting("index.directory", folder) if folder else made


def collections(server: ChromaServer, database: str = "") -> set[str]:
    return {item.name for item in server._client(database or server.database).list_collections()}


def databases(server: ChromaServer) -> set[str]:
    return {item["name"] for item in server._admin().list_databases()}


# Visitors -------------------------------------------------------------------------------------------------------------


def test_a_visitor_has_a_collection_of_their_own_that_goes_with_them(
    server: ChromaServer, chroma_process: ChromaProcess
) -> None:
    first = DocumentIndex(config(chroma_process.url), EMBEDDER)
    second = DocumentIndex(config(chroma_process.url), EMBEDDER)
    add(first, KEPT)
    add(first, LONG)
    add(second, KEPT)
    check_whole(first, LONG)
    check_whole(second, KEPT)
    assert len(collections(server)) == 2
    query = EMBEDDER.encode([LONG.text[:80]])[0]
    assert {near.key.document_id for near in second.nearest(query, 50)} == {KEPT.id}
    first.remove(LONG.id)
    check_absent(first, LONG, None)
    check_whole(first, KEPT)
    first.close()
    assert len(collections(server)) == 1
    check_whole(second, KEPT)
    second.close()
    assert collections(server) == set()
    files = [path for path in chroma_process.folder.rglob("*") if path.is_file()]
    assert not any(b"zugzwang" in path.read_bytes() for path in files)


def test_a_process_lists_its_own_visitors_alone(chroma_process: ChromaProcess) -> None:
    # Two connections, as two processes have them.
    first, second = ChromaServer(chroma_process.url), ChromaServer(chroma_process.url)
    try:
        names = [first.private_collection().name, second.private_collection().name]
        for owner, name in zip((first, second), names, strict=True):
            VectorStore(None, next(iter([_place(owner, name)])))
        assert collections(first) == {names[0]}
        assert collections(second) == {names[1]}
        assert first.database != second.database
        assert len(first.database.split("-")[1]) == 32
    finally:
        first.close()
        second.close()
    assert not {name for name in databases(first) if name.startswith("visitors-")}


def _place(owner: ChromaServer, name: str) -> chroma_server.RemoteCollection:
    return chroma_server.RemoteCollection(owner._client(owner.database), name, owner.place, lambda: None)


KILLED = """
import os, sys
sys.path[:0] = ["tests", "."]
from rag_core import RagConfig
from rag_core.doctor import examine
from rag_core.indexing.index import DocumentIndex
from test_index import EMBEDDER, KEPT, add
index = DocumentIndex(RagConfig().with_setting("index.server", sys.argv[1]), EMBEDDER)
from rag_core.indexing.chroma_server import connected
add(index, KEPT)
print(connected(sys.argv[1]).database, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_when_its_lease_has_run_out(
    server: ChromaServer, chroma_process: ChromaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), chroma_process.url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    left = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    alive = DocumentIndex(config(chroma_process.url), EMBEDDER)
    add(alive, KEPT)
    # Killed just now: it might as well be alive.
    assert server.sweep() == 0
    assert left in databases(server)
    assert collections(server, left)
    monkeypatch.setattr(chroma_server, "LEASE_SECONDS", -1.0)
    assert server.sweep() >= 1
    assert left not in databases(server)
    check_whole(alive, KEPT)
    alive.close()


def test_a_lease_is_renewed(chroma_process: ChromaProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma_server, "RENEW_SECONDS", 0.05)
    made = ChromaServer(chroma_process.url)
    made.private_collection()

    def renewed() -> float:
        return float(made._leases().get(ids=[made.database], include=["metadatas"])["metadatas"][0]["renewed"])

    first = renewed()
    assert eventually(lambda: renewed() != first)
    made.close()


def test_a_server_that_starts_anew_in_the_middle(
    server: ChromaServer, chroma_process: ChromaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma, "_WAITS", (0.01,))
    index = DocumentIndex(config(chroma_process.url), EMBEDDER)
    add(index, KEPT)
    query = EMBEDDER.encode([KEPT.text])[0]
    chroma_process.kill()
    try:
        with pytest.raises(IndexStateError, match="RAG_CHROMA_URL"):
            index.nearest(query, 5)
        with pytest.raises(IndexStateError, match=r"127\.0\.0\.1"):
            add(index, LONG)
        assert not index.has(LONG.id)
    finally:
        chroma_process.start()
    check_whole(index, KEPT)
    add(index, LONG)
    check_whole(index, LONG)
    index.close()


def test_a_collection_that_could_not_be_deleted_is_deleted_later(
    server: ChromaServer, chroma_process: ChromaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma, "_WAITS", (0.01,))
    monkeypatch.setattr(chroma_server, "RENEW_SECONDS", 0.2)
    index = DocumentIndex(config(chroma_process.url), EMBEDDER)
    add(index, KEPT)
    chroma_process.kill()
    try:
        index.close()
    finally:
        chroma_process.start()
    assert eventually(lambda: not collections(server))


def test_a_bearer_token_is_sent_and_never_shown(chroma_process: ChromaProcess) -> None:
    settings = {"RAG_CHROMA_URL": chroma_process.url, "RAG_CHROMA_KEY": "chroma-secret-77"}
    made = RagConfig.from_env(settings)
    assert "chroma-secret-77" not in repr(made)
    server = ChromaServer(made.index.server, made.index.server_key)
    found = {check.name: check for check in examine(made)}["vectors"]
    assert found.state == "good"
    assert "127.0.0.1" in found.found
    assert "chroma-secret-77" not in str(found)
    assert server._api()._session.headers["authorization"] == "Bearer chroma-secret-77"
    with pytest.raises(ConfigError):
        RagConfig.from_env({"RAG_CHROMA_URL": "http://me:secret@host"})


# Persisted indexes ----------------------------------------------------------------------------------------------------


class CountingEmbedder:
    """The real embedder, which counts what it embeds."""

    def __init__(self) -> None:
        self.embedded = 0

    def __getattr__(self, name: str) -> object:
        return getattr(EMBEDDER, name)

    def encode(self, texts: list[str]) -> np.ndarray:
        self.embedded += len(texts)
        return EMBEDDER.encode(texts)


def test_records_in_a_folder_vectors_on_the_server(
    server: ChromaServer, chroma_process: ChromaProcess, tmp_path: Path
) -> None:
    one = DocumentIndex(config(chroma_process.url, tmp_path), EMBEDDER)
    two = DocumentIndex(config(chroma_process.url, tmp_path), EMBEDDER)
    add(one, KEPT)
    add(one, LONG)
    check_whole(two, LONG)
    one.close()
    counting = CountingEmbedder()
    with_counts = DocumentIndex(config(chroma_process.url, tmp_path), counting)  # type: ignore[arg-type]
    add(with_counts, LONG)
    assert counting.embedded == 0
    with_counts.remove(LONG.id)
    check_absent(with_counts, LONG, tmp_path)
    check_absent(two, LONG, tmp_path)
    check_whole(two, KEPT)
    assert not list(tmp_path.rglob("vectors-*"))
    # The same folder without the server is another index: neither takes the other's vectors for lost.
    local = DocumentIndex(RagConfig(splitting=SPLITTING).with_setting("index.directory", tmp_path), EMBEDDER)
    assert local.documents() == []
    add(local, KEPT)
    local.close()
    check_whole(two, KEPT)
    # Removed means gone, from both.
    two.remove(KEPT.id)
    local = DocumentIndex(RagConfig(splitting=SPLITTING).with_setting("index.directory", tmp_path), EMBEDDER)
    assert local.documents() == []
    local.close()
    two.close()
    with_counts.close()


POINTS = (
    "add: after the first vectors",
    "add: before the record",
    "add: after the record",
    "remove: before the server's vectors",
)


def test_a_process_that_is_killed_leaves_nothing_half(
    server: ChromaServer, chroma_process: ChromaProcess, tmp_path: Path
) -> None:
    folders = {point: tmp_path / str(number) for number, point in enumerate(POINTS)}
    for point, folder in folders.items():
        index = DocumentIndex(config(chroma_process.url, folder), EMBEDDER)
        add(index, KEPT)
        if point.startswith("remove"):
            add(index, LONG)
        index.close()
    jobs = tmp_path / "jobs.json"
    wanted = [[point, str(folder), LONG.id, LONG.text] for point, folder in folders.items()]
    jobs.write_text(json.dumps(wanted), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "tests/index_killer.py", str(jobs)],
        cwd=ROOT,
        env={**os.environ, "RAG_CHROMA_URL": chroma_process.url},
        capture_output=True,
        text=True,
        check=True,
    )
    ends = [line.split("\t") for line in done.stdout.splitlines()]
    assert ends == [[point, str(int(signal.SIGKILL))] for point in POINTS], done.stderr[-2_000:]
    for point, folder in folders.items():
        index = DocumentIndex(config(chroma_process.url, folder), EMBEDDER)
        check_whole(index, KEPT)
        if point != "add: after the record":
            check_absent(index, LONG, folder)
            add(index, LONG)
        check_whole(index, LONG)
        index.close()


def in_graph_files(folder: Path, row: np.ndarray) -> bool:
    """Return whether the vector stands in any file of a graph on the server's disk."""
    for path in folder.rglob("data_level0.bin"):
        content = path.read_bytes()
        values = np.frombuffer(content[: len(content) // 4 * 4], dtype=np.float32)
        starts = np.flatnonzero(np.isclose(values[: -len(row)], row[0], rtol=1e-5, atol=0))
        if any(np.allclose(values[start : start + len(row)], row, rtol=1e-4) for start in starts):
            return True
    return False


def test_what_the_server_writes_of_a_graph(
    server: ChromaServer, chroma_process: ChromaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_module, "_BATCH", 256)
    rows = np.random.default_rng(7).standard_normal((3_600, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    keys = [WindowKey("d" * 64, number, 0) for number in range(len(rows))]
    # Of a visitor: nothing, however much there is, because files outlive their collection.
    private = VectorStore(None, server.private_collection())
    list(private.add(keys[:2_200], rows[:2_200]))
    assert private.nearest(rows[5], 1)[0].key == keys[5]
    assert not any(in_graph_files(chroma_process.folder, row) for row in rows[:2_200:100])
    private.close()
    # Of a persisted index: all, and what is removed is overwritten before it is only marked as deleted.
    store = VectorStore(None, server.collection("index-erase", "vectors-erase"))
    list(store.add(keys[:2_200], rows[:2_200]))
    assert in_graph_files(chroma_process.folder, rows[5])
    assert in_graph_files(chroma_process.folder, rows[1_500])
    store.erase(keys[:700])
    # The graph is written at every thousandth change.
    list(store.add(keys[2_200:], rows[2_200:]))
    assert not any(in_graph_files(chroma_process.folder, row) for row in rows[:700:50])
    assert in_graph_files(chroma_process.folder, rows[1_500])
    assert store.vectors(keys[:700]) == {}
    server._delete_database("index-erase")


# The app --------------------------------------------------------------------------------------------------------------


def test_two_apps_over_one_server_and_one_of_them_killed(chroma_process: ChromaProcess, samples: Path) -> None:
    environment = {"RAG_CHROMA_URL": chroma_process.url, "APP_WARM_UP": "false"}
    first, second = start_server(**environment), start_server(**environment)
    try:
        one, other = first.client(), second.client()
        added = one.predict(handle_file(str(samples / "haircut.txt")), api_name="/add_document")
        other.predict(handle_file(str(samples / "options.md")), api_name="/add_document")
        assert [item["id"] for item in one.predict(api_name="/list_documents")] == [added["id"]]
        hits = one.predict("initial margin", 3, api_name="/search")
        assert {hit["document"]["name"] for hit in hits} == {"haircut.txt"}
        hits = other.predict("what does theta measure", 3, api_name="/search")
        assert {hit["document"]["name"] for hit in hits} == {"options.md"}
        first.process.kill()
        first.process.wait()
        chroma_process.kill()
        chroma_process.start()
        hits = other.predict("what does theta measure", 3, api_name="/search")
        assert {hit["document"]["name"] for hit in hits} == {"options.md"}
        own = ChromaServer(chroma_process.url)
        before = {name for name in databases(own) if name.startswith("visitors-")}
        assert second.stop() == 0
        # One that ends in order deletes its visitors itself; the killed one's wait for its lease to run out.
        after = {name for name in databases(own) if name.startswith("visitors-")}
        assert len(before - after) == 1
        assert len(after) >= 1
    finally:
        for running in (first, second):
            running.stop()
    assert os.environ.get("RAG_CHROMA_URL") is None


def test_a_pipeline_answers_from_a_server(server: ChromaServer, chroma_process: ChromaProcess, samples: Path) -> None:
    settings = RagConfig.from_env({"RAG_CHROMA_URL": chroma_process.url})
    with RagPipeline(settings) as rag, rag.session() as visitor:
        visitor.add_document(samples / "haircut.txt")
        assert rag.documents() == ()
        assert "haircut" in visitor.search("What is a haircut?")[0].text.lower()
        assert len(collections(server)) == 1
    assert collections(server) == set()
