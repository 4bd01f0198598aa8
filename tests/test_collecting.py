"""The garbage collector while models are loaded."""

from __future__ import annotations

import gc
import threading
import uuid
from collections.abc import Iterator

import pytest

from rag_core.collecting import first_load


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    assert gc.isenabled()
    yield
    assert gc.isenabled()
    gc.unfreeze()


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_collections_pause_and_what_was_loaded_is_never_gone_through(name: str) -> None:
    before = gc.get_freeze_count()
    with first_load(name):
        assert not gc.isenabled()
        loaded: list[list[int]] = [[] for _ in range(5_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(loaded)


def test_a_second_load_of_the_same_name_is_collected_as_ever(name: str) -> None:
    with first_load(name):
        pass
    before = gc.get_freeze_count()
    with first_load(name):
        assert gc.isenabled()
        loaded: list[list[int]] = [[] for _ in range(5_000)]
    assert gc.get_freeze_count() < before + len(loaded)


def test_a_load_that_fails_is_none(name: str) -> None:
    with pytest.raises(RuntimeError), first_load(name):
        raise RuntimeError
    assert gc.isenabled()
    with first_load(name):
        assert not gc.isenabled()


def test_collections_begin_when_the_last_of_several_threads_is_through(name: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with first_load(f"{name} other"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with first_load(name):
        thread.start()
        assert entered.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(name: str) -> None:
    gc.disable()
    try:
        with first_load(name):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
