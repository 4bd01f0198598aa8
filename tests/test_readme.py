"""What the README says is run as it stands: front matter, commands, Python and API."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from app_server import shared_server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=240,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sample_files").symlink_to(ROOT / "sample_files")
    return tmp_path


def test_the_front_matter_is_what_a_space_takes() -> None:
    front = yaml.safe_load(README.split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert f"gradio[mcp]=={front['sdk_version']}" in (ROOT / "requirements.txt").read_text()
    assert front["python_version"] in ("3.12.12", "3.10.13")
    assert (ROOT / front["app_file"]).is_file()
    assert front["colorFrom"] in (colours := ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"))
    assert front["colorTo"] in colours
    assert len(front["short_description"]) <= 60
    assert re.fullmatch(r"\d+[smhd]", front["startup_duration_timeout"])
    assert front["license"] == "apache-2.0"


def test_every_local_file_that_is_named_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for row in re.findall(r"^\| (`[^|]+) \|", README, re.MULTILINE):
        for name in re.findall(r"`([\w./]+)`", row):
            places = (ROOT / name, ROOT / "rag_core" / name)
            assert any(place.exists() for place in places), name


def test_the_python_example_runs(folder: Path) -> None:
    (code,) = [block for block in blocks("python") if "RagPipeline" in block]
    done = run_python(code, folder)
    assert done.returncode == 0, done.stderr
    assert "haircut.txt" in done.stdout


def test_the_api_example_runs(folder: Path) -> None:
    (code,) = [block for block in blocks("python") if "gradio_client" in block]
    done = run_python(code.replace("http://127.0.0.1:7860", shared_server().url), folder)
    assert done.returncode == 0, done.stderr
    assert "haircut" in done.stdout


def test_the_commands_run(folder: Path) -> None:
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    commands = [line for line in lines if "-m rag_core" in line]
    assert len(commands) >= 4
    for command in commands:
        words = [sys.executable, *shlex.split(command)[1:]]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            words, capture_output=True, text=True, cwd=folder, env=environment, timeout=240, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout.strip(), command
