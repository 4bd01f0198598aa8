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
from huggingface_hub import SpaceHardware
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment, check=False)


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
    assert front["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert len(front["emoji"]) == 1
    assert ord(front["emoji"]) >= 0x1F300
    assert front["license"] == "apache-2.0"


def test_every_local_file_that_is_named_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for row in re.findall(r"^\| (`[^|]+) \|", README, re.MULTILINE):
        for name in re.findall(r"`([\w./]+)`", row):
            places = (ROOT / name, ROOT / "rag_core" / name)
            assert any(place.exists() for place in places), name


def test_every_make_target_that_is_named_exists_and_is_listed() -> None:
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    targets = set(re.findall(r"^make ([a-z]+) +\S", listed, re.MULTILINE))
    assert {"run", "setup", "test", "check", "bench"} <= targets
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named <= targets


def test_the_space_can_have_what_our_machines_have() -> None:
    """The ranges of requirements.txt hold the exact versions of constraints.txt."""
    exact = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if re.match(r"[\w.-]+==", line)
    )
    exact = {canonicalize_name(name): version for name, version in exact.items()}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line)
            assert wanted.specifier.contains(exact[canonicalize_name(wanted.name)]), line
            if wanted.name == "torch":
                # What ZeroGPU offers.
                assert all(wanted.specifier.contains(version) for version in ("2.8.0", "2.9.1", "2.10.0", "2.11.0"))


def test_the_python_example_runs(folder: Path) -> None:
    (code,) = [block for block in blocks("python") if "RagPipeline" in block]
    done = run([sys.executable, "-c", code], folder)
    assert done.returncode == 0, done.stderr
    assert "haircut.txt" in done.stdout


def test_the_api_example_runs(folder: Path) -> None:
    (code,) = [block for block in blocks("python") if "gradio_client" in block]
    done = run([sys.executable, "-c", code.replace("http://127.0.0.1:7860", shared_server().url)], folder)
    assert done.returncode == 0, done.stderr
    assert "haircut" in done.stdout


COMMANDS = [
    line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines() if "-m rag_core" in line
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str, folder: Path) -> None:
    done = run([sys.executable, *shlex.split(command)[1:]], folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) >= 4
