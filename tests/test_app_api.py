"""The endpoints as programs use them: gradio_client against a real server process with the real embedded models."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import Server, shared_server, start_server
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from waiting import PATIENCE_SECONDS, eventually

LOAN = """# Financing note

The bank loan of EUR 50 million carries interest of 4.2 percent and matures in June 2027.
It is secured by the plant in Ghent.

## Dividend

The board proposes a dividend of EUR 1.30 per share for 2023. In 2022 the dividend was EUR 1.10 per share.
"""
CHEESE = "Gouda is a mild cheese from the Netherlands. It is made of cow's milk and ripens for months.\n"


@pytest.fixture(scope="module")
def server() -> Server:
    return shared_server()


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def new() -> Client:
        clients.append(server.client())
        return clients[-1]

    yield new
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[[], Client]) -> Client:
    return connect()


@pytest.fixture
def loan(tmp_path: Path) -> Path:
    path = tmp_path / "loan.md"
    path.write_text(LOAN, encoding="utf-8")
    return path


def get(url: str, **more: Any) -> httpx.Response:
    return httpx.get(url, timeout=PATIENCE_SECONDS, **more)


def add(client: Client, path: Path) -> dict[str, Any]:
    result: dict[str, Any] = client.predict(handle_file(str(path)), api_name="/add_document")
    return result


def test_the_endpoints_and_their_types_are_the_documented_ones(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {
        "/chat",
        "/add_document",
        "/list_documents",
        "/remove_document",
        "/search",
        "/mcp_ask",
        "/mcp_search",
    }
    names = {name: [item["parameter_name"] for item in entry["parameters"]] for name, entry in endpoints.items()}
    assert names["/chat"] == ["message", "new_conversation"]
    assert names["/search"] == ["question", "k"]
    assert names["/add_document"] == ["file"]
    assert names["/remove_document"] == ["document_id"]
    answer = endpoints["/chat"]["returns"][0]["type"]
    assert {"text", "citations", "sentences", "abstained", "done", "query"} <= set(answer["properties"])


def test_a_document_is_added_listed_searched_and_removed(client: Client, loan: Path) -> None:
    document = add(client, loan)
    assert (document["name"], document["pages"]) == ("loan.md", 1)
    assert document["chunks"] >= 1
    assert add(client, loan)["id"] == document["id"]
    assert client.predict(api_name="/list_documents") == [document]
    hits = client.predict("dividend per share", 2, api_name="/search")
    assert 1 <= len(hits) <= 2
    assert hits[0]["document"] == {"id": document["id"], "name": "loan.md"}
    assert "EUR 1.30 per share for 2023" in hits[0]["text"]
    assert hits[0]["end"] - hits[0]["start"] == len(hits[0]["text"])
    assert client.predict(document["id"], api_name="/remove_document") == {"removed": document["id"]}
    assert client.predict(api_name="/list_documents") == []
    with pytest.raises(AppError, match="no document yet"):
        client.predict("dividend", api_name="/search")


def test_chat_streams_and_ends_with_verbatim_citations(client: Client, loan: Path) -> None:
    document = add(client, loan)
    updates = list(client.submit("Does the bank loan mature in June 2027?", api_name="/chat"))
    texts = [update["text"] for update in updates]
    # However fast the model: its first word is an update of its own.
    assert any(text and len(text) < len(texts[-1]) for text in texts)
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert [update["done"] for update in updates] == [False] * (len(updates) - 1) + [True]
    last = updates[-1]
    assert not last["abstained"]
    assert any("June 2027" in citation["quote"] for citation in last["citations"])
    for citation in last["citations"]:
        assert citation["document"]["id"] == document["id"]
        assert citation["quote"] in LOAN
        assert citation["end"] - citation["start"] == len(citation["quote"])
    for sentence in last["sentences"]:
        assert last["text"][sentence["start"] : sentence["end"]] == sentence["text"]


def test_chat_keeps_the_conversation_of_its_session(client: Client, loan: Path) -> None:
    add(client, loan)
    client.predict("What dividend does the board propose for 2023?", api_name="/chat")
    followed = client.predict("and in 2022?", api_name="/chat")
    assert followed["query"] == "What dividend does the board propose for 2022?"
    assert client.predict("and in 2022?", True, api_name="/chat")["query"] == "and in 2022?"


def test_an_answer_that_is_not_there_is_abstained_from(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "cheese.txt"
    path.write_text(CHEESE)
    add(client, path)
    answer = client.predict("What was the company's diluted earnings per share in fiscal 2019?", api_name="/chat")
    assert answer["abstained"]
    assert answer["reason"]
    assert answer["citations"] == []


def test_two_clients_never_meet(connect: Callable[[], Client], loan: Path, tmp_path: Path) -> None:
    cheese = tmp_path / "cheese.txt"
    cheese.write_text(CHEESE)
    first, second = connect(), connect()
    mine, theirs = add(first, loan), add(second, cheese)
    assert first.predict(api_name="/list_documents") == [mine]
    assert second.predict(api_name="/list_documents") == [theirs]
    hits = second.predict("When does the bank loan mature? dividend", 50, api_name="/search")
    assert {hit["document"]["id"] for hit in hits} <= {theirs["id"]}
    answer = second.predict("When does the bank loan mature?", api_name="/chat")
    del answer["timings"]  # any digits may stand there
    assert "2027" not in json.dumps(answer)
    with pytest.raises(AppError):
        second.predict(mine["id"], api_name="/remove_document")
    assert first.predict(api_name="/list_documents") == [mine]
    first.predict(mine["id"], api_name="/remove_document")
    assert second.predict(api_name="/list_documents") == [theirs]


def test_the_upload_is_gone_from_the_cache_after_ingest(server: Server, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "unmistakable.txt"
    path.write_text(LOAN + "\nMarker 3f9a1c.\n")
    uploaded = client.predict(handle_file(str(path)), api_name="/add_document")
    assert uploaded["name"] == "unmistakable.txt"
    assert not [item for item in server.files() if "unmistakable" in item.name or holds(item, b"3f9a1c")]


def holds(path: Path, content: bytes) -> bool:
    """Whether a file holds these bytes; one that an earlier test's visitor has just lost holds nothing."""
    try:
        return content in path.read_bytes()
    except FileNotFoundError:
        return False


def test_a_refused_upload_is_gone_too(server: Server, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "blank-paper.txt"
    path.write_bytes(b"")
    with pytest.raises(AppError, match=r"(?i)empty|nothing"):
        add(client, path)
    assert client.predict(api_name="/list_documents") == []
    assert not [item for item in server.files() if "blank-paper" in str(item)]


def test_documents_go_when_the_client_closes(server: Server, connect: Callable[[], Client], loan: Path) -> None:
    client = connect()
    before = visitor_folders(server)
    add(client, loan)
    (mine,) = visitor_folders(server) - before
    client.close()
    # A client that closes ends its heartbeat, as a page does; the grace period of this server is one second.
    del client
    assert eventually(lambda: not mine.exists())


def visitor_folders(server: Server) -> set[Path]:
    return {folder for root in server.temporary.glob("ragoptimize-visitors-*") for folder in root.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "endpoint", "message"),
    [
        (("",), "/chat", "question is empty"),
        (("x" * 9_000,), "/chat", "9000|9,000"),
        (("dividend", 0), "/search", "from 1 to 50"),
        (("dividend", 51), "/search", "from 1 to 50"),
        (("dividend", 1.5), "/search", "whole number"),
        (("dividend", "many"), "/search", "whole number"),
        (("f" * 64,), "/remove_document", "(?i)document"),
    ],
)
def test_mistakes_are_told_in_one_line(
    client: Client, loan: Path, arguments: tuple[Any, ...], endpoint: str, message: str
) -> None:
    add(client, loan)
    with pytest.raises(AppError, match=message) as caught:
        client.predict(*arguments, api_name=endpoint)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("meta", [{"_type": "gradio.FileData"}, None])
@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "app.py"])
def test_a_path_outside_the_uploads_is_never_read(server: Server, path: str, meta: dict[str, str] | None) -> None:
    file: dict[str, Any] = {"path": path, "orig_name": "note.txt"}
    if meta:
        file["meta"] = meta
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as http:
        started = http.post("/gradio_api/call/add_document", json={"data": [file], "session_hash": "raw-session"})
        body = started.text
        if started.status_code == 200:
            body = http.get(f"/gradio_api/call/add_document/{started.json()['event_id']}").text
    assert "event: complete" not in body
    assert "root:" not in body


def test_a_file_that_two_visitors_send_at_once_reaches_both(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as http:
        paths = [
            http.post("/gradio_api/upload", files={"files": ("loan.md", LOAN.encode())}).json()[0] for _ in range(2)
        ]
        for number, path in enumerate(paths):
            file = {"path": path, "orig_name": "loan.md", "meta": {"_type": "gradio.FileData"}}
            started = http.post(
                "/gradio_api/call/add_document", json={"data": [file], "session_hash": f"same-file-{number}"}
            )
            told = http.get(f"/gradio_api/call/add_document/{started.json()['event_id']}").text
            assert "event: complete" in told


def test_the_private_handlers_of_the_page_are_not_in_the_public_interface(server: Server) -> None:
    info = get(f"{server.url}/gradio_api/info").json()
    assert not [name for name in info["named_endpoints"] if "page" in name or "upload" in name or "source" in name]


def test_the_page_comes_with_its_headers_and_fetches_nothing_elsewhere(server: Server) -> None:
    response = get(server.url, headers={"accept": "text/html"})
    assert response.status_code == 200
    assert "content-security-policy" in response.headers
    assert "HttpOnly" in response.headers["set-cookie"]
    assert "fonts.googleapis" not in response.text
    config = get(f"{server.url}/config").json()
    assert config["analytics_enabled"] is False


def test_a_cancelled_answer_stops_and_the_model_serves_the_next(server: Server, client: Client, loan: Path) -> None:
    add(client, loan)
    with server.held() as closed:
        job = client.submit("Does the bank loan mature in June 2027?", api_name="/chat")
        assert eventually(lambda: any(update["text"] for update in job.outputs()))
        job.cancel()
        assert eventually(closed.exists)
    answer = client.predict("When does the bank loan mature?", True, api_name="/chat")
    assert answer["done"]
    assert answer["text"]


def test_a_full_queue_asks_to_try_again(loan: Path) -> None:
    server = start_server(APP_QUEUE_SIZE="1", APP_ANSWERS_AT_ONCE="1", APP_WARM_UP="false")
    try:
        client = server.client()
        add(client, loan)
        with server.held():
            jobs = [client.submit("Does the bank loan mature in June 2027?", True, api_name="/chat") for _ in range(6)]
            # One is being answered and one may wait; while that is so, nobody else is served.
            assert eventually(lambda: sum(job.done() for job in jobs) == 4)
            refused = [job for job in jobs if job.done()]
        assert all("try again" in str(job.exception()).lower() for job in refused)
        assert all(job.result()["done"] for job in jobs if job not in refused)
        client.close()
        assert server.stop() == 0
        assert not list(server.temporary.glob("ragoptimize-visitors-*"))
    finally:
        server.process.kill()


# The Model Context Protocol


async def mcp_session(url: str, use: Callable[[Any], Any]) -> Any:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with (
        streamable_http_client(f"{url}/gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        return await use(session)


def test_mcp_offers_ask_and_search_and_nothing_else(server: Server) -> None:
    async def use(session: Any) -> Any:
        listed = await session.list_tools()
        refused = await session.call_tool("list_documents", {})
        return listed.tools, refused

    tools, refused = asyncio.run(mcp_session(server.url, use))
    assert sorted(tool.name for tool in tools) == ["ask", "search"]
    assert refused.isError
    by_name = {tool.name: tool for tool in tools}
    assert set(by_name["ask"].inputSchema["properties"]) == {"question", "document_text", "document_name"}
    assert by_name["ask"].inputSchema["required"] == ["question"]
    assert "citations" in by_name["ask"].description
    schema = get(f"{server.url}/gradio_api/mcp/schema").json()
    assert sorted(tool["name"] for tool in schema) == ["ask", "search"]


def test_mcp_asks_and_searches_the_text_that_is_sent(server: Server) -> None:
    async def use(session: Any) -> Any:
        given = {"document_text": LOAN, "document_name": "loan.md"}
        question = "In which month and year does the bank loan mature?"
        answered = await session.call_tool("ask", {"question": question, **given})
        found = await session.call_tool("search", {"question": "dividend per share", "k": 1, **given})
        wrong = await session.call_tool("search", {"question": "dividend", "k": 1_000, **given})
        return answered, found, wrong

    answered, found, wrong = asyncio.run(mcp_session(server.url, use))
    assert not answered.isError
    assert "2027" in answered.content[0].text
    assert "loan.md" in answered.content[0].text
    assert "1.30" in found.content[0].text
    assert wrong.isError
    assert "from 1 to 50" in wrong.content[0].text
    assert not list(server.temporary.glob("ragoptimize-tool-*"))
