"""An engine that is made where the GPU is lent: in a process of its own, once, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tiny_models import tiny_model

from rag_core import RagConfig
from rag_core.engines import choosing, gpu_window
from rag_core.engines.choosing import make_engine
from rag_core.engines.lent import LentEngine
from rag_core.engines.steps import Step
from rag_core.engines.transformer import TransformersEngine
from rag_core.errors import ModelError, ModelLoadError

ROOT = Path(__file__).parent.parent
# The app's process and, forked from it, one that answers twice and one that answers once, as ZeroGPU does it.
FORKED = """
import json, multiprocessing, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from rag_core.engines import gpu_window
from rag_core.engines.cuda.engine import CudaEngine
from rag_core.engines.lent import LentEngine
from rag_core.engines.llama import read_settings

folder, made = Path(sys.argv[1]), multiprocessing.get_context("fork").Value("i", 0)
prompt, count = [1, 20, 21, 22, 20, 21], 8


def make():
    with made.get_lock():
        made.value += 1
    return CudaEngine(folder, read_settings(folder), frozenset(), length=64, device="cpu", dtype=torch.float32, most_chats=1)


def answer(key, times, pipe):
    for _ in range(times):
        steps = list(gpu_window._inside(key, prompt, count))
        pipe.send((os.getpid(), [token for step in steps for token in step.tokens], steps[-1].cached))


engine, context, told = LentEngine(make), multiprocessing.get_context("fork"), []
key = gpu_window.register(engine)
for times in (2, 1):
    here, there = context.Pipe()
    worker = context.Process(target=answer, args=(key, times, there), daemon=True)
    worker.start()
    told += [here.recv() for _ in range(times)]
    worker.join()
print(json.dumps({"told": told, "made": made.value, "here": os.getpid(), "engine here": engine._engine is not None}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "llama", "llama")


def test_each_process_makes_its_engine_once_and_the_app_s_none(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    found = json.loads(done.stdout)
    (first, tokens, _), (same, again, cached), (other, last, afresh) = found["told"]
    assert first == same != other
    assert found["here"] not in (first, other)
    assert found["made"] == 2
    assert not found["engine here"]
    # The second answer of a process finds the prompt read but for its last token; a new process has nothing.
    assert (cached, afresh) == (5, 0)
    plain = TransformersEngine(folder, frozenset(), device="cpu")
    assert tokens == again == last == [t for s in plain.generate([1, 20, 21, 22, 20, 21], 8) for t in s.tokens]


def test_what_cannot_be_made_is_told_in_words_and_tried_again() -> None:
    tries: list[int] = []

    def make() -> Scripted:
        tries.append(1)
        if len(tries) == 1:
            raise ModelLoadError("model.safetensors is cut off; get the model again")
        return Scripted()

    engine = LentEngine(make)
    key = gpu_window.register(engine)
    (error,) = gpu_window._inside(key, [1], 5)
    assert isinstance(error, ModelError)
    assert "cut off" in str(error)
    assert list(gpu_window._inside(key, [1], 5)) == [Step((7,), finish="length")]
    assert len(tries) == 2


class Scripted:
    """An engine of one step."""

    at_once, description = 1, "scripted"

    def generate(self, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
        yield Step((7,), finish="length")


def test_less_of_the_gpu_is_asked_for_long_answers_than_by_the_slower_engine() -> None:
    lent, slow = gpu_window.register(LentEngine(Scripted)), gpu_window.register(Scripted())
    assert gpu_window._seconds(lent, [1] * 2_000, 512) == int(20 + 0.5 + 512 / 60) + 1
    assert gpu_window._seconds(lent, [1] * 2_000, 512) < gpu_window._seconds(slow, [1] * 2_000, 512)


def test_on_zero_gpu_the_engine_is_made_where_the_gpu_is_unless_it_is_switched_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(choosing, "_transformers", lambda *_, **asked: asked)
    engine = make_engine(RagConfig(), folder, frozenset(), 64)
    assert isinstance(engine, LentEngine)
    assert engine.at_once > 1
    off = RagConfig().with_setting("generation.cuda_engine", False)
    assert make_engine(off, folder, frozenset(), 64) == {"device": "cuda", "lent_gpu": True}


def test_on_zero_gpu_the_processor_can_be_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    config = RagConfig().with_setting("generation.device", "cpu").with_setting("generation.threads", 1)
    assert "CPU" in make_engine(config, folder, frozenset(), 64).description
