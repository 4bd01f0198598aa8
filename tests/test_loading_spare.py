"""A worker that waits for a file: used once, replaced, given up when idle, and never needed."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rag_core import DocumentTooLargeError
from rag_core.config import LimitsConfig
from rag_core.loading import child, load_document
from rag_core.loading.starting import Spare, Worker, end

SAMPLES = Path(__file__).parent.parent / "sample_files"
LIMITS = LimitsConfig()

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="this system hands no files over")


@pytest.fixture
def spare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spare]:
    made = Spare()
    monkeypatch.setattr(child, "SPARE", made)
    yield made
    made.release()


def waiting(spare: Spare) -> Worker:
    assert spare._waiting is not None
    return spare._waiting[0]


@pytest.mark.parametrize("name", ["norvellan_annual_report_2023.pdf", "options.md", "haircut.txt"])
def test_the_worker_that_waits_reads_the_same_and_is_used_once(spare: Spare, name: str) -> None:
    expected = load_document(SAMPLES / name, LIMITS)
    assert spare._waiting is None
    spare.keep()
    first = waiting(spare)
    assert load_document(SAMPLES / name, LIMITS) == expected
    assert first.returncode is not None
    assert waiting(spare) is not first
    assert waiting(spare).poll() is None


def test_limits_are_those_of_the_file_that_comes(spare: Spare) -> None:
    spare.keep()
    first = waiting(spare)
    with pytest.raises(DocumentTooLargeError, match="over the limit of 3"):
        load_document(SAMPLES / "norvellan_annual_report_2023.pdf", replace(LIMITS, pages=3))
    assert first.returncode is not None


def test_one_that_died_while_it_waited_is_not_missed(spare: Spare) -> None:
    spare.keep()
    first = waiting(spare)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert load_document(SAMPLES / "haircut.txt", LIMITS).text
    assert waiting(spare) is not first


def test_where_none_can_be_started_files_are_read_all_the_same(spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Worker:
        raise OSError("no process to spare")

    monkeypatch.setattr("rag_core.loading.starting.start", refuse)
    spare.keep()
    assert spare._waiting is None
    assert load_document(SAMPLES / "haircut.txt", LIMITS).text


def test_it_gives_up_when_idle_and_another_comes_with_the_next_file(spare: Spare) -> None:
    spare._idle_seconds = 0.01
    spare.keep()
    first = waiting(spare)
    assert first.wait(60) == 0
    spare._idle_seconds = 600.0
    assert load_document(SAMPLES / "haircut.txt", LIMITS).text
    last = waiting(spare)
    assert last is not first
    assert last.poll() is None
    spare.release()
    assert last.returncode is not None


def test_it_ends_with_the_process_that_it_waits_for(spare: Spare) -> None:
    spare.keep()
    assert spare._waiting is not None
    worker, channel = spare._waiting
    # What the system does to an ended process's sockets.
    channel.close()
    assert worker.wait(60) == 0
    spare._waiting = None
    end(worker)
