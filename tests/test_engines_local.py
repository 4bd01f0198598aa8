"""The generator over its engines: streams, stops, waits its turn, and says in one line what is wrong."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_model

from rag_core import RagConfig
from rag_core.engines import local
from rag_core.engines.local import LocalGenerator
from rag_core.engines.memory import require_memory, thread_count, translated, weight_counts
from rag_core.errors import (
    BusyError,
    ConfigError,
    ModelError,
    ModelLoadError,
    OutOfMemoryError,
    QuestionError,
)
from rag_core.generation import GenerationDelta, TextGenerator
from rag_core.records import Message, Progress

ROOT = Path(__file__).parent.parent
TALK = [Message("system", "w11 w12"), Message("user", "w13 w14 w13 w14 w15")]
OTHER = [Message("user", "w40 w41 w42")]


def generator(folder: Path, **settings: Any) -> LocalGenerator:
    config = RagConfig().with_setting("generation.model", str(folder)).with_setting("generation.device", "cpu")
    for name, value in settings.items():
        config = config.with_setting(f"generation.{name}", value)
    return LocalGenerator(config)


def said(deltas: Sequence[GenerationDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends its turn by itself: its end-of-text word is as likely as any other, which is not much."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that only transformers runs."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny-mistral", "mistral", sliding_window=64)


@pytest.mark.parametrize("name", ["folder", "windowed"])
def test_nothing_is_loaded_before_it_is_needed(name: str, request: pytest.FixtureRequest) -> None:
    made = generator(request.getfixturevalue(name))
    assert isinstance(made, TextGenerator)
    assert (made.name, made.loaded, made.description) == (request.getfixturevalue(name).name, False, "")
    assert made.context_tokens == 512
    assert made.count_tokens(TALK) == 10
    assert not made.loaded
    stages: list[Progress] = []
    made.load(stages.append)
    assert made.loaded
    assert stages[-1].stage in ("loading", "converting")
    assert made.description == ("CPU, compiled kernels" if name == "folder" else "CPU, float32")
    stages.clear()
    made.load(stages.append)
    assert stages == []


@pytest.mark.parametrize("name", ["folder", "windowed"])
def test_deltas_add_up_and_only_the_last_says_why_it_ended(name: str, request: pytest.FixtureRequest) -> None:
    deltas = list(generator(request.getfixturevalue(name)).stream(TALK, max_new_tokens=12))
    assert sum(delta.tokens for delta in deltas) == 12
    assert {delta.prompt_tokens for delta in deltas} == {10}
    assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["length"]
    assert len(said(deltas).split()) <= 12
    assert sum(bool(delta.text) for delta in deltas) > 6


def test_both_engines_say_the_same(folder: Path, tmp_path: Path) -> None:
    """A setting that changes nothing here, a sliding window as long as nothing reaches, sends the model elsewhere."""
    weights = tiny_model(tmp_path / "plain", "mistral")
    elsewhere = tmp_path / "windowed"
    elsewhere.mkdir()
    for path in weights.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    config = json.loads((weights / "config.json").read_text())
    (elsewhere / "config.json").write_text(json.dumps({**config, "sliding_window": 500}))
    ours, theirs = generator(weights), generator(elsewhere)
    for talk in (TALK, OTHER):
        assert said(list(ours.stream(talk, max_new_tokens=40))) == said(list(theirs.stream(talk, max_new_tokens=40)))
    assert (ours.description, theirs.description) == ("CPU, compiled kernels", "CPU, float32")


@pytest.mark.parametrize("name", ["folder", "windowed"])
def test_closing_a_stream_frees_the_engine(name: str, request: pytest.FixtureRequest) -> None:
    made = generator(request.getfixturevalue(name))
    whole = said(list(made.stream(TALK, max_new_tokens=30)))
    stream = made.stream(TALK, max_new_tokens=400)
    first = [next(stream) for _ in range(4)]
    stream.close()  # type: ignore[attr-defined]
    assert whole.startswith(said(first))
    assert not [thread for thread in threading.enumerate() if thread.name == "generation"]
    assert said(list(made.stream(TALK, max_new_tokens=30))) == whole


@pytest.mark.parametrize("name", ["folder", "windowed"])
def test_two_threads_take_turns_and_both_are_right(name: str, request: pytest.FixtureRequest) -> None:
    made = generator(request.getfixturevalue(name))
    alone = [said(list(made.stream(talk, max_new_tokens=40))) for talk in (TALK, OTHER)]
    order: list[int] = []
    together: dict[int, str] = {}
    start = threading.Barrier(2)

    def work(number: int) -> None:
        start.wait()
        text = ""
        for delta in made.stream((TALK, OTHER)[number], max_new_tokens=40):
            order.append(number)
            text += delta.text
        together[number] = text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[0], together[1]] == alone
    assert sum(a != b for a, b in itertools.pairwise(order)) == 1


def test_who_waits_too_long_is_asked_to_come_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator(folder)
    stream = made.stream(TALK, max_new_tokens=400)
    next(stream)
    monkeypatch.setattr(local, "_WAIT_SECONDS", 0.05)
    with pytest.raises(BusyError, match="try again"):
        next(made.stream(OTHER, max_new_tokens=5))
    stream.close()  # type: ignore[attr-defined]
    assert list(made.stream(OTHER, max_new_tokens=5))


def test_prompt_and_answer_stay_within_the_context(folder: Path) -> None:
    made = generator(folder, context_tokens=16)
    assert made.context_tokens == 16
    deltas = list(made.stream(TALK, max_new_tokens=100))
    assert sum(delta.tokens for delta in deltas) == 6
    assert deltas[-1].finish_reason == "length"
    long = [Message("user", " ".join(["w20"] * 40))]
    with pytest.raises(QuestionError, match=r"takes 43 tokens and tiny-llama reads 16; ask a shorter question"):
        next(made.stream(long, max_new_tokens=1))
    # A setting above what the model reads does not stretch it, and the last position there is can be used.
    whole = generator(folder, context_tokens=100_000)
    assert whole.context_tokens == 512
    full = [Message("user", " ".join(["w20"] * 508))]
    assert sum(delta.tokens for delta in whole.stream(full, max_new_tokens=50)) == 1
    assert list(made.stream(TALK, max_new_tokens=2))


def test_settings_that_make_no_sense_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be auto, cpu or cuda"):
        generator(folder, device="tpu")
    with pytest.raises(ConfigError, match="1 or more"):
        generator(folder).stream(TALK, max_new_tokens=0)
    with pytest.raises(ConfigError, match="4-bit weights need a CUDA GPU"):
        generator(folder, load_in_4bit=True).load()


def test_a_gpu_that_is_not_there_is_told(folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelLoadError, match="torch sees no CUDA GPU"):
        generator(folder, device="cuda").load()


# What is wrong with a model ------------------------------------------------------------------------------------------


def broken(folder: Path, target: Path, **files: bytes | None) -> Path:
    """A copy with some files changed or (None) left out; `__` in a keyword stands for a dot."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    for name, content in files.items():
        path = target / name.replace("__", ".")
        path.unlink() if content is None else path.write_bytes(content)
    return target


def test_damaged_and_missing_files_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    header = int.from_bytes(whole[:8], "little")
    cases: dict[str, dict[str, bytes | None]] = {
        "no weights": {"model__safetensors": None},
        "half the weights": {"model__safetensors": whole[: len(whole) // 2]},
        "half a header": {"model__safetensors": whole[: header // 2]},
        "no file at all": {"model__safetensors": b""},
        "a web page": {"model__safetensors": b"<!DOCTYPE html><html>404</html>"},
        "a header that is none": {"model__safetensors": whole[:8] + b"x" * (len(whole) - 8)},
        "an unknown kind": {"config__json": b'{"model_type": "abacus", "architectures": ["Abacus"]}'},
        "no kind": {"config__json": b"{}"},
        "half a config": {"config__json": b'{"model_type": "lla'},
        "no tokenizer": {"tokenizer__json": None, "tokenizer_config__json": None},
        "half a tokenizer": {"tokenizer__json": (folder / "tokenizer.json").read_bytes()[:500]},
    }
    for name, files in cases.items():
        made = generator(broken(folder, tmp_path / name.replace(" ", "-"), **files))
        with pytest.raises(ModelError) as caught:
            made.load()
        assert "\n" not in str(caught.value), name
        assert len(str(caught.value)) < 500, name
        assert not made.loaded
    # A load that failed is tried again.
    repaired = tmp_path / "no-weights"
    made = generator(repaired)
    with pytest.raises(ModelError):
        made.load()
    (repaired / "model.safetensors").write_bytes(whole)
    assert list(made.stream(TALK, max_new_tokens=2))


def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    folder: Path, windowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    weights = sum(weight_counts(folder).values())
    Memory = namedtuple("Memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(4 * weights - 1))
    for path in (folder, windowed):
        made = generator(path)
        with pytest.raises(OutOfMemoryError, match=r"needs 0\.0 GiB of memory and 0\.0 are free; set RAG_MODEL"):
            made.load()
        assert not made.loaded
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(4 * weights))
    require_memory(folder, kept_small=True)


def test_bfloat16_needs_half_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    folder = tiny_model(tmp_path / "half", dtype="bfloat16")
    ((kind, weights),) = weight_counts(folder).items()
    assert kind == "BF16"
    Memory = namedtuple("Memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(2 * weights))
    require_memory(folder, kept_small=True)
    with pytest.raises(OutOfMemoryError):
        require_memory(folder, kept_small=False)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (MemoryError(), OutOfMemoryError),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemoryError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemoryError),
        (RuntimeError("mat1 and mat2\nshapes cannot be multiplied"), ModelLoadError),
        (KeyError("gemma9"), ModelLoadError),
        (QuestionError("too long"), QuestionError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_errors_from_below_come_out_as_ours(raised: BaseException, kind: type[BaseException]) -> None:
    with pytest.raises(kind) as caught, translated("some/model"):
        raise raised
    if kind in (OutOfMemoryError, ModelLoadError):
        assert caught.value.__cause__ is raised
        assert "some/model" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_threads_are_those_that_are_set_or_the_cores_there_are() -> None:
    assert thread_count(3) == 3
    assert 1 <= thread_count(0) <= 1_024


# Kernels that cannot be kept, or not be compiled ---------------------------------------------------------------------


def in_a_process(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_kernels_work_where_their_cache_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code = (
        "import sys, tempfile; from pathlib import Path; from rag_core.engines.jit import *; import numba\n"
        "cache = Path(sys.argv[1]); load_kernels(cache)\n"
        "from rag_core.engines import products\n"
        "print(products._block_bytes(0), products._block_bytes(3), numba.config.CACHE_DIR, any(cache.rglob('*.nbi')))"
    )
    q4, f32, place, before = in_a_process(code, str(tmp_path / "file" / "cache")).split()
    assert (q4, f32, before) == ("512", "4096", "False")
    assert Path(place).is_dir()
    assert not place.startswith(str(tmp_path))
    # Where it can, they are found again.
    *_, place, before = in_a_process(code, str(tmp_path / "cache")).split()
    assert place.startswith(str(tmp_path / "cache"))
    assert before == "True"


def test_without_a_compiler_transformers_takes_over(folder: Path) -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from rag_core import RagConfig; from rag_core.engines.local import LocalGenerator; from rag_core import Message\n"
        "config = RagConfig().with_setting('generation.model', sys.argv[1]).with_setting('generation.device', 'cpu')\n"
        "made = LocalGenerator(config)\n"
        "print(''.join(delta.text for delta in made.stream([Message('user', 'w40 w41 w42')], max_new_tokens=8)))\n"
        "print(made.description)"
    )
    text, description = in_a_process(code, str(folder)).splitlines()
    assert description == "CPU, float32"
    assert text == said(list(generator(folder).stream(OTHER, max_new_tokens=8)))
