"""What a merge was made from and what it is: SHA-256 of every file, so that the same merge is never made twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.checkpoint import Checkpoint

__all__ = ["MANIFEST", "Manifest", "file_hashes", "git_blob_id", "inputs_of", "read_manifest"]

MANIFEST = "merge.json"
# Raise it when what is written changes: older merges are then made anew.
FORMAT_VERSION = 1
_BASE_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


@dataclass(frozen=True)
class Manifest:
    """`inputs` decide what comes out, `outputs` are the hashes of the files beside it, `gate` what the gate measured."""

    inputs: dict[str, Any]
    outputs: dict[str, str]
    gate: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write it into `folder`."""
        content = {"format": FORMAT_VERSION, "inputs": self.inputs, "outputs": self.outputs, "gate": self.gate}
        (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def describes(self, folder: Path) -> bool:
        """Whether the files that were written are in `folder` still, unchanged; what someone added does not count."""
        present = [folder / name for name in self.outputs if (folder / name).is_file()]
        return len(present) == len(self.outputs) and file_hashes(present) == self.outputs


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a merged folder, None where it has none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content["format"] != FORMAT_VERSION:
            return None
        return Manifest(content["inputs"], content["outputs"], content["gate"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def inputs_of(base: Path, checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    """Return everything that decides what a merge gives: the files of base and checkpoint by hash, and the type."""
    base_files = {path for pattern in _BASE_FILES for path in base.glob(pattern)}
    own = {path for path in checkpoint.folder.iterdir() if path.is_file() and path.name != "README.md"}
    return {
        "dtype": dtype,
        "base": {
            "model": checkpoint.base.get("model", base.name),
            "revision": checkpoint.base.get("revision", ""),
            "files": file_hashes(base_files),
        },
        "checkpoint": {
            "step": checkpoint.step,
            "prompt_version": checkpoint.prompt_version,
            "files": file_hashes(path for path in own if not path.name.startswith(".")),
        },
    }


def file_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {path.name: _sha256(path) for path in sorted(paths)}


def git_blob_id(path: Path) -> str:
    """Return the id that git, and so the Hub, gives a small file of this content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
