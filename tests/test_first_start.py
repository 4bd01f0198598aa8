"""The very first start: a model converted in a process of its own while this one compiles kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, ScriptedGenerator

from rag_core import Message, Progress, RagConfig, RagPipeline
from rag_core.engines import first_start
from rag_core.engines.conversion import conversion_of
from rag_core.engines.first_start import FirstStart
from rag_core.engines.local import LocalGenerator
from rag_core.errors import ModelLoadError

ROOT = Path(__file__).parent.parent

# A first start as an app does it, in a process that has compiled nothing.
FIRST = """
import sys
from pathlib import Path
from rag_core import Message, RagConfig
from rag_core.engines import conversion, first_start, local
cache = Path(sys.argv[2])
config = RagConfig().with_setting("generation.model", sys.argv[1]).with_setting("generation.device", "cpu")
made = local.LocalGenerator(config.with_setting("cache_directory", cache))
made.prepare()
compile_kernels = first_start.compile_kernels
def compiling(cache):
    compile_kernels(cache)
    from rag_core.engines import kernels
    print("compiled", len(kernels.forward.signatures), len(kernels.embed.signatures))
first_start.compile_kernels = compiling
def in_vain(*_):
    raise AssertionError("converted a second time")
conversion._convert = in_vain
text = "".join(delta.text for delta in made.stream([Message("user", "What is a haircut?")], max_new_tokens=4))
from rag_core.engines import kernels
print("used", len(kernels.forward.signatures), len(kernels.embed.signatures))
"""


def local_generator(model: Path, cache: Path) -> LocalGenerator:
    config = RagConfig().with_setting("generation.model", str(model)).with_setting("generation.device", "cpu")
    return LocalGenerator(config.with_setting("cache_directory", cache))


def test_what_is_compiled_meanwhile_is_what_the_model_needs(small_gguf: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(small_gguf), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["compiled 1 1", "used 1 1"]
    assert conversion_of(small_gguf, tmp_path) is not None


def test_preparing_converts_in_the_background(
    small_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the process must find the package from anywhere
    first = FirstStart(small_gguf, tmp_path / "cache")
    assert not first.over
    first.begin()
    first.finish(compiling=False)
    assert first.over
    folder = conversion_of(small_gguf, tmp_path / "cache")
    assert folder is not None
    assert (folder / "packed.tiles").is_file()
    # A later start has nothing to do, and starts no process for it.
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process for nothing"))
    again = FirstStart(small_gguf, tmp_path / "cache")
    assert again.over
    again.begin()
    again.finish(compiling=True)


def test_a_damaged_file_is_told_by_loading_not_by_preparing(
    small_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_start, "compile_kernels", lambda _: None)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(small_gguf.read_bytes()[:100_000])
    generator = local_generator(broken, tmp_path / "cache")
    generator.prepare()
    stages: list[Progress] = []
    with pytest.raises(ModelLoadError, match=r"broken\.gguf is damaged"):
        generator.load(stages.append)
    assert stages[0].stage == "converting"


def test_without_a_second_process_the_model_is_converted_in_this_one(
    small_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    generator = local_generator(small_gguf, tmp_path)
    generator.prepare()
    assert generator.count_tokens([Message("user", "What is a haircut?")]) > 5
    assert conversion_of(small_gguf, tmp_path) is not None


def test_a_generator_that_has_nothing_to_prepare_is_left_alone() -> None:
    with RagPipeline(generator=ScriptedGenerator("Yes.")) as rag:
        rag.prepare()
        rag.add_document(SAMPLES / "haircut.txt")
        assert rag.ask("What is a haircut?").text


def test_a_file_that_cannot_be_read_is_told_before_anything_is_begun(
    small_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refused(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == small_gguf:
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ModelLoadError, match=r"cannot be read \(Permission denied\)"):
        local_generator(small_gguf, tmp_path / "cache").prepare()
    assert not (tmp_path / "cache").exists()
