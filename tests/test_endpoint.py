"""Generation by a server: the real SmolLM2 behind a real socket, and every way in which a server fails."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from endpoint_server import (
    KEY,
    MODEL,
    LoopbackServer,
    cut_after_text,
    cut_at_once,
    ends_early,
    error_in_stream,
    malformed,
    redirect,
    serving,
    stalls,
    status,
    streamed,
)

from rag_core import (
    BusyError,
    ConfigError,
    Message,
    ModelError,
    ModelNotFoundError,
    QuestionError,
    RagConfig,
    RagError,
    RagPipeline,
)
from rag_core.doctor import examine
from rag_core.endpoint import EndpointGenerator
from rag_core.endpoint import server as server_module
from rag_core.endpoint.estimate import estimate_tokens
from rag_core.engines import create_generator
from rag_core.engines.local import LocalGenerator
from rag_core.engines.tokens import ChatTokenizer
from rag_core.policy import LARGE, SMALL, policy_for

ASKED = (Message("system", "You are brief."), Message("user", "Name the capital of France."))


@pytest.fixture(scope="module")
def engine(one_thread: None) -> LocalGenerator:
    return LocalGenerator(RagConfig().with_setting("generation.device", "cpu"))


@pytest.fixture(scope="module")
def shared(engine: LocalGenerator) -> Iterator[LoopbackServer]:
    with serving(engine) as running:
        yield running


@pytest.fixture
def server(shared: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> LoopbackServer:
    monkeypatch.setattr(server_module, "_FIRST_WAIT_SECONDS", 0.01)
    shared.faults.clear()
    shared.requests.clear()
    shared.authorizations.clear()
    shared.disconnected.clear()
    shared.key = ""
    return shared


def generator(server: LoopbackServer, **settings: object) -> EndpointGenerator:
    config = RagConfig().with_setting("generation.endpoint", server.url)
    for name, value in settings.items():
        config = config.with_setting(f"generation.{name}", value)
    made = create_generator(config)
    assert isinstance(made, EndpointGenerator)
    return made


def text_of(made: EndpointGenerator, tokens: int = 12) -> str:
    return "".join(delta.text for delta in made.stream(ASKED, max_new_tokens=tokens))


# Answers --------------------------------------------------------------------------------------------------------------


def test_the_same_greedy_text_and_counts_as_the_engine_itself(server: LoopbackServer, engine: LocalGenerator) -> None:
    here = list(engine.stream(ASKED, max_new_tokens=12))
    there = list(generator(server).stream(ASKED, max_new_tokens=12))
    assert "".join(delta.text for delta in there) == "".join(delta.text for delta in here)
    assert sum(delta.tokens for delta in there) == sum(delta.tokens for delta in here)
    assert [delta.finish_reason for delta in there if delta.finish_reason] == [here[-1].finish_reason]
    assert there[-1].prompt_tokens == engine.count_tokens(ASKED)
    assert there[-1].cached_tokens == 3
    # It came in pieces, not at the end.
    assert len([delta for delta in there if delta.text]) > 3


def test_what_is_sent(server: LoopbackServer) -> None:
    text_of(generator(server), 5)
    (body,) = server.requests
    assert body["model"] == MODEL
    assert body["max_tokens"] == 5
    assert body["temperature"] == 0
    assert body["stream"] is True
    assert body["messages"] == [{"role": turn.role, "content": turn.content} for turn in ASKED]


def test_the_model_is_the_named_one_or_the_first_listed(server: LoopbackServer) -> None:
    assert generator(server).name == MODEL
    assert generator(server, model="merged-7b").name == "merged-7b"
    assert generator(server).context_tokens == 8_192
    assert generator(server, context_tokens=2_000).context_tokens == 2_000
    # The policy goes by that name, as with a model of this machine.
    assert policy_for(generator(server).name, RagConfig().generation) is SMALL
    assert policy_for(generator(server, model="merged-7b").name, RagConfig().generation) is LARGE


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_address_may_stop_at_any_part_of_the_path(server: LoopbackServer, path: str) -> None:
    made = EndpointGenerator(RagConfig().with_setting("generation.endpoint", server.url + path))
    made.load()
    assert text_of(made, 3)
    assert made.loaded


def test_an_answer_with_citations_through_the_whole_pipeline(server: LoopbackServer, samples: Path) -> None:
    config = RagConfig().with_setting("generation.endpoint", server.url)
    # A small model's look-ups are read without it; here it is to write.
    config = config.with_setting("generation.reader", False)
    with RagPipeline(config) as rag:
        rag.add_document(samples / "haircut.txt")
        answer = rag.ask("What is a haircut?")
    assert answer.model == MODEL
    assert server.requests
    assert answer.citations
    assert answer.tokens.prompt > 20
    for citation in answer.citations:
        assert citation.document.text[citation.start : citation.end] == citation.quote


def test_answers_run_side_by_side(server: LoopbackServer) -> None:
    # Two streams of one generator, both begun before either ends: the second must not wait for the first.
    server.faults += [streamed(stalls)]
    made = generator(server)
    with closing(made.stream(ASKED, max_new_tokens=8)) as first:  # type: ignore[type-var]
        while not next(first).text:
            pass
        assert text_of(made, 4)


def test_a_system_text_joins_the_first_turn_where_the_template_knows_no_such_role(server: LoopbackServer) -> None:
    said = "Conversation roles must alternate user/assistant/user/assistant/..."
    server.faults += [status(400, said)]
    made = generator(server)
    assert text_of(made, 3)
    assert text_of(made, 3)
    roles = [[turn["role"] for turn in body["messages"]] for body in server.requests]
    assert roles == [["system", "user"], ["user"], ["user"]]
    assert server.requests[1]["messages"][0]["content"] == f"{ASKED[0].content}\n\n{ASKED[1].content}"
    server.faults += [status(400, said)]
    with pytest.raises(ModelError, match="chat template"):
        text_of(made)


# Stopping -------------------------------------------------------------------------------------------------------------


def test_closing_the_stream_closes_the_connection(server: LoopbackServer) -> None:
    server.faults += [streamed(stalls)]
    stream = generator(server).stream(ASKED, max_new_tokens=8)
    while not next(stream).text:
        pass
    stream.close()  # type: ignore[attr-defined]
    assert server.disconnected.wait(60)


def test_a_silent_server_can_be_left(server: LoopbackServer) -> None:
    server.faults += [streamed(stalls)]
    stream = generator(server).stream(ASKED, max_new_tokens=8)
    texts = 0
    for delta in stream:
        texts += bool(delta.text)
        # A delta without text is the chance to stop.
        if texts and not delta.text:
            break
    stream.close()  # type: ignore[attr-defined]
    assert server.disconnected.wait(60)


# Faults ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        [status(500, "worker died")],
        [status(502)],
        [status(503)],
        [status(429, "slow down", Retry_After="0")],
        [status(429, "slow down", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")],
        [streamed(cut_at_once)],
        [status(500), status(429), streamed(cut_at_once)],
    ],
    ids=["500", "502", "503", "429 with seconds", "429 with a date", "cut before the first token", "three in a row"],
)
def test_before_the_first_token_another_try_is_made(server: LoopbackServer, faults: list[object]) -> None:
    server.faults += faults  # type: ignore[arg-type]
    assert text_of(generator(server), 4) == text_of(generator(server), 4)
    assert len(server.requests) == len(faults) + 2


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (streamed(cut_after_text), ModelError, "ended in the middle"),
        (streamed(ends_early), ModelError, "ended in the middle"),
        (streamed(malformed), ModelError, "no chat completion"),
        (streamed(error_in_stream), ModelError, "out of memory"),
        (status(401, f"bad key {KEY}"), ConfigError, "RAG_ENDPOINT_KEY"),
        (status(404, "The model `x` does not exist."), ModelNotFoundError, "does not exist"),
        (status(400, "max_tokens must be positive\n\x1b[31m"), ModelError, "must be positive"),
        (status(400, "This model's maximum context length is 2048 tokens"), QuestionError, "RAG_CONTEXT_TOKENS"),
        (status(429, "later", Retry_After="3600"), BusyError, "3600 s"),
        (redirect("http://127.0.0.1:1/elsewhere"), ConfigError, "redirects"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_other_try_mends_is_told_in_one_line(
    server: LoopbackServer, fault: object, kind: type[RagError], words: str
) -> None:
    server.faults += [fault]  # type: ignore[list-item]
    with pytest.raises(kind, match=words) as raised:
        text_of(generator(server, endpoint_key=KEY), 8)
    assert len(server.requests) == 1
    message = str(raised.value)
    assert message.isprintable()
    assert "127.0.0.1" in message
    assert KEY not in message.replace(f"bad key {KEY}", "")


def test_tries_end(server: LoopbackServer) -> None:
    server.faults += [status(503)] * 9
    with pytest.raises(BusyError) as raised:
        text_of(generator(server))
    assert raised.value.retryable
    assert len(server.requests) == 4


def test_a_stall_is_told_though_comments_keep_coming(server: LoopbackServer) -> None:
    server.faults += [streamed(stalls)]
    made = generator(server, endpoint_seconds=2.0)
    with pytest.raises(BusyError, match="sent nothing for 2 s"):
        text_of(made, 8)
    assert server.disconnected.wait(60)
    assert len(server.requests) == 1


def test_a_wrong_model_is_told_with_its_name(server: LoopbackServer) -> None:
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        text_of(generator(server, model="no-such-model"))


def test_nobody_there_is_told(server: LoopbackServer) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = generator(replace(server, url=f"http://127.0.0.1:{probe.getsockname()[1]}"))
    with pytest.raises(ModelNotFoundError, match="cannot be reached") as raised:
        made.load()
    assert "RAG_ENDPOINT" in str(raised.value)
    assert not made.loaded


def test_a_server_that_is_none_of_the_kind_is_told(server: LoopbackServer) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/html\r\n\r\n<html></html>"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(page)

        threading.Thread(target=answer, daemon=True).start()
        made = generator(replace(server, url=f"http://127.0.0.1:{listening.getsockname()[1]}"))
        with pytest.raises(ModelError, match="OpenAI-compatible"):
            made.load()


# Keys -----------------------------------------------------------------------------------------------------------------


def test_the_key_is_sent_and_shown_nowhere(server: LoopbackServer, caplog: pytest.LogCaptureFixture) -> None:
    server.key = KEY
    caplog.set_level(logging.DEBUG)
    made = generator(server, endpoint_key=KEY)
    assert text_of(made, 2)
    assert set(server.authorizations) == {f"Bearer {KEY}"}
    config = RagConfig().with_setting("generation.endpoint", server.url).with_setting("generation.endpoint_key", KEY)
    shown = [repr(config), str([check.as_dict() for check in examine(config)]), caplog.text, made.description]
    assert KEY not in "".join(shown)
    with pytest.raises(ConfigError, match="RAG_ENDPOINT_KEY") as raised:
        text_of(generator(server, endpoint_key="wrong-key"))
    assert "wrong-key" not in str(raised.value)


def test_the_token_of_the_hub_goes_to_no_other_server(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert text_of(generator(server), 2)
    assert set(server.authorizations) == {None}


@pytest.mark.parametrize("url", ["http://me:secret@host", "https://host/v1?key=secret", "http://host#secret"])
def test_an_address_holds_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match="RAG_ENDPOINT_KEY") as raised:
        RagConfig.from_env({"RAG_ENDPOINT": url})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://", "http://host:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="http://host:8000"):
        RagConfig.from_env({"RAG_ENDPOINT": url})


# Counting and reporting -----------------------------------------------------------------------------------------------


def test_the_estimate_is_not_under_what_tokenizers_count(samples: Path, engine: LocalGenerator) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(samples.glob("*.[mtc][dxs][tv]*"))]
    texts += [path.read_text(encoding="utf-8") for path in sorted(samples.glob("*.md"))]
    texts += [
        "| 2023 | 1,452.4 | (87.3) | 12.5% |\n" * 40,
        "営業利益は前年比で増加した。" * 20,
        "Überschuß für Öl, €5 m. " * 20,
    ]
    assert len(texts) > 6
    for text in texts:
        messages = (Message("user", text),)
        exact = engine.count_tokens(messages)
        # SmolLM2's template adds a system turn of its own where there is none.
        assert exact - 20 <= estimate_tokens(messages) <= 2.6 * exact, text[:60]


def test_a_tokenizer_that_is_here_counts_exactly(server: LoopbackServer, engine: LocalGenerator) -> None:
    folder = next(RagConfig().cache_directory.glob("SmolLM2*"))
    assert generator(server, tokenizer=str(folder)).count_tokens(ASKED) == ChatTokenizer(folder).count(ASKED)
    with pytest.raises(ConfigError, match="RAG_TOKENIZER"):
        generator(server, tokenizer="/no/such/folder").count_tokens(ASKED)


def test_doctor_reports_the_server(server: LoopbackServer) -> None:
    def finding(**settings: object) -> tuple[str, str, str]:
        config = RagConfig().with_setting("generation.endpoint", server.url)
        for name, value in settings.items():
            config = config.with_setting(f"generation.{name}", value)
        check = next(check for check in examine(config) if check.name == "generator")
        return check.state, check.found, check.advice

    state, found, _ = finding()
    assert state == "good"
    assert MODEL in found
    assert "127.0.0.1" in found
    state, found, advice = finding(model="other-7b")
    assert state == "note"
    assert MODEL in advice
    server.models[0]["max_model_len"] = 1_024
    try:
        state, _, advice = finding()
        assert (state, "RAG_CONTEXT_TOKENS=1024" in advice) == ("note", True)
    finally:
        server.models[0]["max_model_len"] = 8_192
    server.key = KEY
    assert finding()[0] == "bad"
