"""The public names, the error tree, the settings, and what importing costs."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import rag_core
from rag_core import ConfigError, RagConfig, RagError, errors
from rag_core.config import ENVIRONMENT

ROOT = Path(rag_core.__file__).parent


def test_public_names_are_importable_and_sorted() -> None:
    assert all(getattr(rag_core, name) is not None for name in rag_core.__all__)
    assert sorted(rag_core.__all__) == list(rag_core.__all__)


# What comes with torch's builds for CUDA alone.
WITH_TRITON = tuple(f"rag_core.engines.cuda.{name}" for name in ("fused", "kernels", "products"))


def test_every_module_imports_and_states_its_public_names() -> None:
    for info in pkgutil.walk_packages([str(ROOT)], "rag_core."):
        if info.name.endswith(("__main__", ".worker")):
            continue
        if info.name in WITH_TRITON and importlib.util.find_spec("triton") is None:
            continue
        module = importlib.import_module(info.name)
        assert module.__doc__, info.name
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{info.name}.{name}"


def test_importing_the_package_and_making_a_pipeline_load_no_heavy_library() -> None:
    code = (
        "import sys; from rag_core import RagPipeline, RagConfig; rag = RagPipeline(RagConfig());"
        "print([m for m in ('torch','transformers','chromadb','sentence_transformers','gradio','spaces') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"


def test_the_core_never_imports_the_interface_and_spaces_at_one_place_only() -> None:
    importing = {"gradio": [], "spaces": [], "train": []}
    for path in ROOT.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ("import", "from"):
                package = words[1].split(".")[0].rstrip(",")
                if package in importing:
                    importing[package].append(path.name)
    assert importing["gradio"] == []
    assert importing["train"] == []
    assert set(importing["spaces"]) <= {"gpu_window.py"}


def test_packages_import_one_way_when_they_are_imported() -> None:
    graph: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        first = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rag_core."):
                graph.setdefault(first, set()).add((node.module or "").split(".")[1])
    for first, imported in graph.items():
        imported.discard(first)
    assert {"encoder", "words", "chunking"} <= graph["indexing"]
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("indexing") < order.index("search") < order.index("pipeline")


def test_the_tree_at_the_top_of_errors_is_the_tree_of_classes() -> None:
    drawn: dict[str, str] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip("├└│─ ").split(" ")[0]
        if name not in errors.__all__:
            continue
        depth = (len(line) - len(line.lstrip("├└│─ "))) // 4
        parents = [*parents[:depth], name]
        drawn[name] = parents[-2] if depth else "Exception"
    actual = {name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__}
    assert drawn == actual


def test_a_message_is_one_line() -> None:
    assert str(RagError("first\n  second\tthird")) == "first second third"


def test_settings_come_from_the_environment_typed() -> None:
    config = RagConfig.from_env(
        {"RAG_MODEL": "some/model", "RAG_LOAD_IN_4BIT": "true", "RAG_TOP_K": "8", "RAG_INDEX_DIR": "x", "PATH": "y"}
    )
    assert config.generation.model == "some/model"
    assert config.generation.load_in_4bit is True
    assert config.retrieval.k == 8
    assert config.index.directory == Path("x")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RAG_MODLE": "x"}, "RAG_MODLE is no setting"),
        ({"RAG_TOP_K": "many"}, "int is needed"),
        ({"RAG_TOP_K": "0"}, "must be from 1"),
        ({"RAG_LOAD_IN_4BIT": "perhaps"}, "bool is needed"),
        ({"RAG_MAX_PAGES": "-1"}, "must be from 1"),
    ],
)
def test_a_wrong_setting_is_told(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RagConfig.from_env(environ)


def test_every_variable_names_a_field_and_settings_are_frozen() -> None:
    config = RagConfig()
    for path, _ in ENVIRONMENT.values():
        value = config
        for name in path.split("."):
            value = getattr(value, name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.cache_directory = Path()  # type: ignore[misc]
    with pytest.raises(ConfigError, match="no setting"):
        config.with_setting("generation.colour", "red")


def test_a_window_that_the_embedder_would_truncate_is_refused() -> None:
    with pytest.raises(ConfigError, match="window_tokens"):
        RagConfig().with_setting("splitting.window_tokens", 255)
