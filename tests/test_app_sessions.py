"""Visitors kept apart, found by their key alone, and deleted: on leaving, when idle, by age, at the end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from rag_core import BusyError, ConfigError, DocumentNotFoundError, Progress, QuestionError, RagConfig, RagPipeline
from ui.endpoints import checked_count
from ui.line import Line
from ui.sessions import Visitor, VisitorGoneError, VisitorStore, messages_of
from ui.settings import AppSettings
from ui.uploads import claim
from ui.web import COOKIE, Guard

NOTE = "The bank loan of EUR 50 million matures in June 2027.\n"


@pytest.fixture(scope="module")
def pipeline() -> RagPipeline:
    return RagPipeline(RagConfig())


@pytest.fixture
def store(pipeline: RagPipeline) -> Iterator[VisitorStore]:
    store = VisitorStore(pipeline, AppSettings(visitors=3))
    yield store
    store.close()


def put(visitor: Visitor, text: str = NOTE, name: str = "note.txt") -> Path:
    path = visitor.folder / "upload.txt"
    path.write_text(text, encoding="utf-8")
    visitor.add(path, name)
    return path


def test_a_visitor_is_found_by_both_halves_of_the_key(store: VisitorStore) -> None:
    visitor = store.open(("page", "secret"))
    assert store.find(("page", "secret")) is visitor
    assert store.open(("page", "secret")) is visitor
    assert store.find(("page", "")) is None
    assert store.find(("page", "guess")) is None
    assert store.find(("other", "secret")) is None


def test_folders_are_private_and_not_derived_from_the_key(store: VisitorStore) -> None:
    first, second = store.open(("a", "")), store.open(("b", ""))
    assert first.folder != second.folder
    assert len(first.folder.name) >= 32
    assert first.folder.stat().st_mode & 0o077 == 0
    assert first.folder.parent.stat().st_mode & 0o077 == 0


def test_an_upload_is_deleted_once_it_was_read(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    path = put(visitor)
    assert not path.exists()
    assert [document.name for document in visitor.documents()] == ["note.txt"]


def test_visitors_do_not_share_documents_or_answers(store: VisitorStore) -> None:
    first, second = store.open(("a", "")), store.open(("b", ""))
    put(first)
    document = first.documents()[0]
    assert second.documents() == ()
    with pytest.raises(DocumentNotFoundError):
        second.remove(document.id)
    turn = first.begin("When does the loan mature?")
    turn.answer = first.pipeline.ask(turn.question)
    turn.text = turn.answer.text
    assert first.source(turn.id, "hit", 1) is not None
    assert second.turn(turn.id) is None
    assert second.source(turn.id, "hit", 1) is None
    assert second.history([turn.id]) == []


def test_removing_a_document_removes_the_answers_that_quote_it(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    put(visitor)
    turn = visitor.begin("When does the loan mature?")
    turn.answer = visitor.pipeline.ask(turn.question)
    turn.text = turn.answer.text
    visitor.conversation.append(turn)
    assert len(messages_of(visitor.conversation)) == 2
    visitor.remove(visitor.documents()[0].id)
    assert visitor.documents() == ()
    assert visitor.turn(turn.id) is None
    assert visitor.conversation == []
    assert visitor.source(turn.id, "citation", 1) is None


@pytest.mark.parametrize(("kind", "number"), [("citation", 0), ("citation", 99), ("hit", -1), ("hit", 10**9)])
def test_a_source_out_of_range_is_none(store: VisitorStore, kind: str, number: int) -> None:
    visitor = store.open(("a", ""))
    put(visitor)
    turn = visitor.begin("When does the loan mature?")
    turn.answer = visitor.pipeline.ask(turn.question)
    assert visitor.source(turn.id, kind, number) is None


def test_leaving_deletes_after_the_grace_period_unless_one_returns(pipeline: RagPipeline) -> None:
    store = VisitorStore(pipeline, AppSettings(grace_seconds=3_600))
    visitor = store.open(("a", ""))
    put(visitor)
    gone: list[tuple[str, str]] = []
    store.on_gone = gone.append
    store.leave(("a", ""))
    assert store.sweep() == 0
    assert gone == []
    assert store.find(("a", "")) is visitor
    visitor.leaves_at = time.monotonic() - 1
    assert store.sweep() == 1
    assert store.find(("a", "")) is None
    assert gone == [("a", "")]
    assert not visitor.folder.exists()
    with pytest.raises(VisitorGoneError), visitor.at_work():
        pass
    store.close()


@pytest.mark.parametrize("field", ["used", "created"])
def test_idle_and_old_visitors_are_deleted(store: VisitorStore, field: str) -> None:
    visitor = store.open(("a", ""))
    put(visitor)
    setattr(visitor, field, time.monotonic() - 10**6)
    assert store.sweep() == 1
    assert visitor.closed
    assert not visitor.folder.exists()


def test_the_sweeper_works_on_its_own(pipeline: RagPipeline) -> None:
    store = VisitorStore(pipeline, AppSettings(idle_seconds=0.2))
    folder = store.open(("a", "")).folder
    assert eventually(lambda: not folder.exists())
    assert len(store) == 0
    store.close()


def test_a_full_house_says_so_and_has_room_again(store: VisitorStore) -> None:
    for name in "abc":
        store.open((name, ""))
    with pytest.raises(BusyError, match="try again"):
        store.open(("d", ""))
    visitor = store.find(("a", ""))
    assert visitor is not None
    visitor.leaves_at = time.monotonic() - 1
    assert not store.open(("d", "")).closed


def test_work_under_way_ends_before_the_index_goes(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    put(visitor)
    with visitor.at_work():
        visitor.close()
        assert visitor.folder.exists()
        assert len(visitor.pipeline.documents()) == 1
    assert not visitor.folder.exists()


def test_leaving_in_the_middle_of_an_upload_abandons_it(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    path = visitor.folder / "upload.txt"
    path.write_text(NOTE)

    def leave(progress: Progress) -> None:
        visitor.close()

    with pytest.raises(VisitorGoneError):
        visitor.add(path, "note.txt", leave)
    assert not visitor.folder.exists()


def test_closing_stops_answers(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    turn = visitor.begin("q")
    store.close()
    assert turn.stopped.is_set()


def test_settings_come_from_the_environment_and_are_checked() -> None:
    settings = AppSettings.from_env({"APP_IDLE_SECONDS": "60", "APP_WARM_UP": "false", "APP_VISITORS": "7"})
    assert settings == replace(AppSettings(), idle_seconds=60.0, warm_up=False, visitors=7)
    for name, value in (("APP_VISITORS", "many"), ("APP_IDLE_SECONDS", "-1"), ("APP_WARM_UP", "perhaps")):
        with pytest.raises(ConfigError, match=name):
            AppSettings.from_env({name: value})


# Uploads and the guard ------------------------------------------------------------------------------------------------


def test_only_files_of_the_upload_folder_are_taken_in(
    store: VisitorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = tmp_path / "uploads"
    (uploads / "abc").mkdir(parents=True)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    inside = uploads / "abc" / "note.txt"
    inside.write_text(NOTE)
    (uploads / "link.txt").symlink_to(outside)
    visitor = store.open(("a", ""))
    refused = [
        str(outside),
        str(uploads / ".." / "secret.txt"),
        str(uploads / "link.txt"),
        str(uploads / "abc"),
        str(uploads / "gone.txt"),
        str(uploads / "zero\0byte.txt"),
        str(uploads / ("long" * 2_000)),
        {"path": "/etc/passwd", "orig_name": "note.txt"},
        {"orig_name": "note.txt"},
        None,
        7,
        "",
    ]
    for upload in refused:
        with pytest.raises(DocumentNotFoundError):
            claim(visitor, upload)
    assert outside.read_text() == "secret"
    path, name = claim(visitor, {"path": str(inside), "orig_name": "../../Jahres\u202ebericht.txt"})
    assert name == "Jahresbericht.txt"
    assert path.parent == visitor.folder
    assert not inside.parent.exists()


async def _get(guard: Guard, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, list[bytes]]:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await guard({"type": "http", "method": "GET", "path": path, "headers": headers}, None, send)  # type: ignore[arg-type]
    found: dict[str, list[bytes]] = {}
    for name, value in sent[0]["headers"]:  # type: ignore[attr-defined]
        found.setdefault(name.decode(), []).append(value)
    return found


def test_the_guard_sets_headers_and_gives_a_page_its_cookie_once() -> None:
    import asyncio

    async def page(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    returned: list[tuple[str, str]] = []
    guard = Guard(page, secure=False, on_return=returned.append)  # type: ignore[arg-type]
    html = (b"accept", b"text/html,*/*")
    first = asyncio.run(_get(guard, "/", [html]))
    assert b"default-src 'self'" in first["content-security-policy"][0]
    assert b"HttpOnly" in first["set-cookie"][0]
    assert b"SameSite=Strict" in first["set-cookie"][0]
    secret = first["set-cookie"][0].split(b"=", 1)[1].split(b";")[0]
    assert len(secret) >= 43
    assert asyncio.run(_get(guard, "/", [html]))["set-cookie"] != first["set-cookie"]
    cookie = (b"cookie", COOKIE.encode() + b"=" + secret)
    assert "set-cookie" not in asyncio.run(_get(guard, "/", [html, cookie]))
    assert "set-cookie" not in asyncio.run(_get(guard, "/gradio_api/info", []))
    asyncio.run(_get(guard, "/gradio_api/heartbeat/abc", [cookie]))
    assert returned == [("abc", secret.decode())]
    secure = Guard(page, secure=True, on_return=returned.append)  # type: ignore[arg-type]
    assert b"SameSite=None; Secure" in asyncio.run(_get(secure, "/", [html]))["set-cookie"][0]


async def _post(path: str, headers: list[tuple[bytes, bytes]], parts: Sequence[bytes]) -> tuple[int, int]:
    """Send a request past the guard to an app that reads all of it; return the status and the bytes that it read."""
    read = status = 0
    left = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

    async def receive() -> object:
        return left.pop(0) if left else {"type": "http.request", "body": b"", "more_body": False}

    async def app(scope: object, receive: Callable[[], Awaitable[dict[str, Any]]], send: Any) -> None:
        nonlocal read
        message = await receive()
        while message.get("more_body"):
            read += len(message["body"])
            message = await receive()
        await send({"type": "http.response.start", "status": 200 if message["type"] == "http.request" else 499})

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = status or message["status"]

    guard = Guard(app, secure=False, on_return=lambda key: None)  # type: ignore[arg-type]
    await guard({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)  # type: ignore[arg-type]
    return status, read


def test_the_guard_turns_away_what_is_too_large_and_what_has_no_use() -> None:
    import asyncio

    mebibyte = b" " * 2**20
    join, upload = "/gradio_api/queue/join", "/gradio_api/upload"
    assert asyncio.run(_post(join, [(b"content-length", b"1048576")], [mebibyte])) == (200, 2**20)
    for length in (b"17000000", b"-1", b"many"):
        assert asyncio.run(_post(join, [(b"content-length", length)], [mebibyte])) == (413, 0)
    # What does not say its length ends where the bound is.
    assert asyncio.run(_post(join, [], [mebibyte] * 40)) == (499, 16 * 2**20)
    # Gradio bounds each uploaded file itself.
    assert asyncio.run(_post(upload, [(b"content-length", b"%d" % (40 * 2**20))], [mebibyte] * 40)) == (200, 40 * 2**20)
    for path in ("/gradio_api/deep_link", "/gradio_api/proxy=http://127.0.0.1:1/"):
        assert asyncio.run(_post(path, [], [])) == (404, 0)


def test_a_conversation_keeps_its_latest_turns(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    turns = [visitor.begin(f"Question {number}?") for number in range(50)]
    for turn in turns:
        visitor.remember(turn)
    assert visitor.conversation == turns[-20:]


def test_halves_of_characters_go_no_further(store: VisitorStore) -> None:
    visitor = store.open(("a", ""))
    put(visitor)
    turn = visitor.begin("When does \ud83d the loan mature?")
    assert turn.question == "When does  the loan mature?"
    assert visitor.pipeline.search("When does \ud83d the loan mature?")[0].document.name == "note.txt"


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2.5, 10**400, True, "5", None, 0, -3])
def test_what_is_no_count_is_told(value: object) -> None:
    with pytest.raises(QuestionError, match="from 1 to 50"):
        checked_count(value, "k")
    assert checked_count(5.0, "k") == 5


def test_the_line_serves_in_order_and_turns_away_past_its_limit() -> None:
    line = Line(places=1, waiting=2)
    first, second, third = line.join(), line.join(), line.join()
    with pytest.raises(BusyError, match="try again"):
        line.join()
    assert [third.ahead(), second.ahead(), first.ahead()] == [3, 2, 0]
    assert first.taken
    assert [second.ahead(), third.ahead()] == [1, 2]
    with first:
        assert first.ahead() == 0
    assert [third.ahead(), second.ahead()] == [2, 0]
    with third:
        assert third.ahead() == 1
    with second:
        pass
    with line.join() as fourth:
        assert fourth.ahead() == 0
