"""Shared fixtures: the real embedded models, loaded once a run, and a scripted generator where the model's words matter."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rag_core import Document, Hit, Message, Page, RagConfig
from rag_core.config import GenerationConfig
from rag_core.generation import GenerationDelta
from rag_core.loading.starting import SPARE
from rag_core.models import resolve_generator
from rag_core.records import Window

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")

# How long an example takes says nothing of the code on a machine that does other work too.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

SAMPLES = Path(__file__).parent.parent / "sample_files"


class ScriptedGenerator:
    """A generator that says what it is told to, one word a delta, and remembers what it was asked."""

    def __init__(self, *replies: str, name: str = "scripted-7b", context_tokens: int = 8_192) -> None:
        self.replies = list(replies)
        self.name = name
        self.context_tokens = context_tokens
        self.loaded = False
        self.calls: list[tuple[Message, ...]] = []
        self.closed_after: int | None = None

    def load(self, on_progress: object = None) -> None:
        self.loaded = True

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) + 4 for message in messages)

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        self.calls.append(tuple(messages))
        words = self.replies.pop(0).split(" ")
        given = 0
        try:
            for index, word in enumerate(words):
                given += 1
                yield GenerationDelta(word if index == 0 else " " + word, 1, self.count_tokens(messages))
            yield GenerationDelta("", 0, finish_reason="stop")
        except GeneratorExit:
            self.closed_after = given
            raise


def make_document(text: str, name: str = "note.txt", identity: str = "d" * 64, **fields: object) -> Document:
    pages = fields.pop("pages", (Page(1, 0, len(text)),))
    return Document(identity, name, "text/plain", len(text.encode()), text, pages, **fields)  # type: ignore[arg-type]


def make_hit(
    document: Document, start: int = 0, end: int | None = None, score: float = 0.9, headings: tuple[str, ...] = ()
) -> Hit:
    end = len(document.text) if end is None else end
    return Hit(
        document,
        document.page_at(start),
        start,
        end,
        document.text[start:end],
        score,
        focus=Window(start, end),
        headings=headings,
    )


@pytest.fixture(autouse=True)
def no_worker_waits() -> Iterator[None]:
    """What warms the models up has a process wait for files; tests that count processes want none of another's."""
    yield
    SPARE.release()


@pytest.fixture(scope="session")
def cache_directory() -> Path:
    """The user's own cache: converting the embedded model once serves every run, as it does for a user."""
    return RagConfig().cache_directory


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other at every layer take minutes where other work has the processor."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model's first two layers, in a GGUF file of their own."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    source = resolve_generator(GenerationConfig(device="cpu")).path
    assert source is not None
    reader = GGUFReader(source)
    path = tmp_path_factory.mktemp("gguf") / "two-layers.gguf"
    writer = GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            value = 2 if name == "llama.block_count" else field.contents()
            kind = field.types[0]
            writer.add_key_value(name, value, kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        if not tensor.name.startswith("blk.") or tensor.name.startswith(("blk.0.", "blk.1.")):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
