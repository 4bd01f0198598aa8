"""The Kaggle notebook: what must stand in it, and all of it executed with a tiny base."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from train_models import tiny_base, tiny_rows

from train.journal import read_journal
from train.settings import load_settings

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "train" / "finetune_mistral7b_kaggle.ipynb"
ORDER = ["parameters", "repository", "install", "secrets", "profile", "data", "train", "compare", "merge", "ask"]


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: Any) -> dict[str, str]:
    return {cell["id"]: cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"}


def test_it_is_valid_and_holds_no_outputs(notebook: Any) -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert stored["nbformat"] == 4
    nbformat.validate(stored)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            ast.parse(cell["source"])


def test_the_steps_come_in_order(notebook: Any) -> None:
    assert list(code_cells(notebook)) == ORDER


def test_the_repository_is_named_once(notebook: Any) -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.count("https://huggingface.co/spaces/hari31416/RagOptimize") == 1
    assert "https://huggingface.co/spaces/hari31416/RagOptimize" in code_cells(notebook)["parameters"]
    assert sum('"clone"' in source for source in code_cells(notebook).values()) == 1


def test_versions_for_old_cards_are_pinned_in_one_cell(notebook: Any) -> None:
    pinned = {name for name, source in code_cells(notebook).items() if "==" in source and "pip" in source}
    assert pinned == {"install"}
    source = code_cells(notebook)["install"]
    assert "whl/cu126" in source
    assert "bitsandbytes==" in source
    # The pins are inside the ranges that the rest of the project is tested with.
    from packaging.requirements import Requirement

    ranges = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            ranges[Requirement(line).name] = Requirement(line).specifier
    for word in shlex.split(source.replace(",", " ").replace("(", " ").replace(")", " "), comments=True):
        name, sign, version = word.partition("==")
        if sign and name in ("torch", "bitsandbytes"):
            assert version in ranges[name]


@pytest.mark.parametrize(
    ("cards", "profile", "devices"),
    [
        ([], "smollm2-cpu", 1),
        ([("Tesla T4", "7.5", "15360")] * 2, "t4x2", 2),
        ([("Tesla T4", "7.5", "15360")], "mistral-7b-p100", 1),
        ([("Tesla P100-PCIE-16GB", "6.0", "16384")], "mistral-7b-p100", 1),
        ([("NVIDIA A10G", "8.6", "23028")], "a10g", 1),
        ([("NVIDIA H200", "9.0", "143771")], "h200", 1),
    ],
)
def test_the_profile_goes_by_the_cards(
    notebook: Any, tmp_path: Path, cards: list[tuple[str, str, str]], profile: str, devices: int, monkeypatch: Any
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {
        "cards": cards,
        "PROFILE": "auto",
        "SET": [f"run.output={tmp_path / 'run'}", "optim.epochs=2"],
        "STEPS": 5,
        "HUB_REPO": "",
        "Path": Path,
    }
    exec(code_cells(notebook)["profile"], names)
    assert (names["CONFIG"], names["devices"]) == (f"train/configs/{profile}.yaml", devices)
    settings = names["settings"]
    assert (settings.optim.max_steps, settings.optim.epochs) == (5, 2.0)
    assert settings == load_settings(names["CONFIG"], [word for word in names["options"] if word != "--set"])


@pytest.mark.parametrize(
    ("cards", "old"),
    [("Tesla P100-PCIE-16GB, 6.0, 16384", True), ("Tesla T4, 7.5, 15360\nTesla T4, 7.5, 15360", False)],
)
def test_only_old_cards_get_another_torch(
    notebook: Any, tmp_path: Path, cards: str, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no such card here: nvidia-smi says so, and what would be installed is written down."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{cards}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    asked: list[str] = []
    names = {"INSTALL": True, "run": lambda *words: asked.append(" ".join(words)), "subprocess": subprocess, "sys": sys}
    exec(code_cells(notebook)["install"], names)
    assert len(names["cards"]) == cards.count("Tesla")
    assert any("torch==" in command and "cu126" in command for command in asked) is old
    assert any("uninstall" in command and "torchvision" in command for command in asked) is old
    assert [command for command in asked if "train/requirements.txt" in command]


def test_it_clones_where_there_is_no_repository(notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "train").mkdir(parents=True)
    (source / "train" / "finetune.py").write_text("")
    git = [
        "git",
        "-C",
        str(source),
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "Start"]):
        subprocess.run([*git, *words], check=True)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cell = code_cells(notebook)["repository"]
    names: dict[str, Any] = {"REPOSITORY": source.as_uri(), "os": os, "shlex": shlex}
    exec(cell, names)
    assert Path.cwd() == work / "RagOptimize"
    assert (Path.cwd() / "train" / "finetune.py").is_file()
    with pytest.raises(RuntimeError, match="ended with 3"):
        names["run"](sys.executable, "-c", "raise SystemExit(3)")
    # Once it is there it is taken as it is.
    monkeypatch.chdir(work)
    exec(cell, {"REPOSITORY": "nowhere", "os": os, "shlex": shlex})
    assert Path.cwd() == work / "RagOptimize"


@pytest.fixture(scope="module")
def executed(notebook: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The notebook after all its cells ran with a base of two layers and three steps, and the folder of the run."""
    folder = tmp_path_factory.mktemp("notebook")
    base = tiny_base(folder / "base")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in tiny_rows(24)), encoding="utf-8")
    changes = {
        "base.model": base,
        "data.train": rows,
        "data.eval_rows": 4,
        "data.max_tokens": 256,
        "batch.tokens": 512,
        "optim.learning_rate": "1e-2",
        "run.output": folder / "run",
        "run.save_every": 2,
    }
    variables = {
        "INSTALL": "no",
        "PROFILE": "smollm2-cpu",
        "SET": shlex.join(f"{key}={value}" for key, value in changes.items()),
        "STEPS": "3",
        "ROWS": "4",
        "ANSWERS": "1",
        "REFRESH_SECONDS": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(f"FINETUNE_{name}", value)
        patch.setenv("OMP_NUM_THREADS", "2")
        patch.delenv("HF_TOKEN", raising=False)
        client = NotebookClient(
            nbformat.from_dict(notebook),
            timeout=900,
            kernel_name="python3",
            resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        )
        done = client.execute()
    return done, folder


def outputs(executed: tuple[Any, Path], name: str) -> str:
    cell = next(cell for cell in executed[0]["cells"] if cell.get("id") == name)
    shown = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "\n".join(shown)


def pictures(executed: tuple[Any, Path], name: str) -> int:
    cell = next(cell for cell in executed[0]["cells"] if cell.get("id") == name)
    return sum("image/png" in output.get("data", {}) for output in cell["outputs"])


@pytest.mark.timeout(1200)
def test_all_of_it_runs(executed: tuple[Any, Path]) -> None:
    _, folder = executed
    assert "Training may start." in outputs(executed, "data")
    assert "20 rows" in outputs(executed, "data")
    events = read_journal(folder / "run")
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2, 3]
    assert "step 3/3" in outputs(executed, "train")
    assert {path.name for path in (folder / "run" / "checkpoints").iterdir()} == {"step-000002", "step-000003"}


@pytest.mark.timeout(1200)
def test_its_pictures_are_there(executed: tuple[Any, Path]) -> None:
    assert [pictures(executed, name) for name in ("data", "train", "compare")] == [1, 1, 1]
    for name in ("lengths.png", "losses.png", "compare/compare.png"):
        assert (executed[1] / "run" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(1200)
def test_the_merged_model_answers(executed: tuple[Any, Path]) -> None:
    from transformers import AutoModelForCausalLM

    _, folder = executed
    assert "best by loss" in outputs(executed, "compare")
    model = AutoModelForCausalLM.from_pretrained(str(folder / "run" / "merged" / "base-finance"))
    assert model.config.tie_word_embeddings is False
    # A base with random weights says nothing of sense: then the closest passage of the document is quoted.
    assert outputs(executed, "ask").strip()
    assert "haircut" in outputs(executed, "ask")
