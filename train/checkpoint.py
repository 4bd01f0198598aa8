"""Checkpoints: a folder each, whole or not there, that says from what it was trained.

RUN/settings.yaml                      the settings of the run
RUN/log.jsonl                          one line an event: step, eval, save, upload
RUN/checkpoints/step-000200/
    adapter_config.json, adapter_model.safetensors    as PEFT reads them
    head.safetensors                   the head, where it is trained
    training.json                      step, settings, prompt version, facts of the base, scores
    state/                             optimizer, schedule, random numbers, position in the data
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.prompting import PROMPT_VERSION
from train.base import base_name, read_config
from train.errors import CheckpointError, DiskError
from train.heads import HEAD_FILE, head_of, save_head
from train.settings import TrainSettings, settings_from

if TYPE_CHECKING:
    import torch

__all__ = [
    "CHECKPOINTS",
    "STATE",
    "Checkpoint",
    "base_facts",
    "list_checkpoints",
    "read_checkpoint",
    "require_same_base",
    "write_checkpoint",
]

CHECKPOINTS = "checkpoints"
STATE = "state"
_DETAILS = "training.json"
_WORK = ".writing-"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. `scores` holds what the evaluation at its step said, by name."""

    folder: Path
    step: int
    settings: TrainSettings
    base: dict[str, Any]
    prompt_version: str
    scores: dict[str, float]

    @property
    def has_head(self) -> bool:
        """Whether the head was trained beside the adapters."""
        return self.settings.head.train


def base_facts(settings: TrainSettings, folder: Path) -> dict[str, Any]:
    """Return what a checkpoint remembers of its base: name, revision, and the shape that another base would not have."""
    config = read_config(folder)
    shape = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    facts = {"model": base_name(settings.base), "revision": settings.base.revision}
    return {**facts, **{key: config.get(key) for key in shape}, "tied": bool(config.get("tie_word_embeddings"))}


def require_same_base(checkpoint: Checkpoint, folder: Path) -> None:
    """Raise CheckpointError where the model in `folder` does not have the shape that the checkpoint was trained on."""
    config = read_config(folder)
    for key, value in checkpoint.base.items():
        if key in config and key not in ("model", "revision") and config[key] != value:
            raise CheckpointError(
                f"{checkpoint.folder.name} was trained on {checkpoint.base['model']} with {key} {value}; "
                f"{folder.name} has {config[key]}: name the same base"
            )


def write_checkpoint(
    run: Path,
    step: int,
    model: Any,
    settings: TrainSettings,
    base: dict[str, Any],
    scores: dict[str, float],
    weights: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write adapters, head and facts into a new folder beside the others; return it, not yet in place.

    `weights` are the trained ones by name where `model` itself holds a part of each alone.
    The caller adds the trainer's state and calls `publish`. Raises DiskError.
    """
    work = run / CHECKPOINTS / f"{_WORK}{step:06d}"
    try:
        shutil.rmtree(work, ignore_errors=True)
        (work / STATE).mkdir(parents=True)
        model.save_pretrained(str(work), state_dict=weights, save_embedding_layers=False)
        (work / "README.md").unlink(missing_ok=True)
        if settings.head.train:
            save_head(work, head_of(model).weight if weights is None else _head_among(weights))
        details = {
            "step": step,
            "prompt_version": PROMPT_VERSION,
            "base": base,
            # Only the head moved: a loader that ties it to the embeddings again would lose it.
            "tie_word_embeddings": False if settings.head.train else base.get("tied", False),
            "head": HEAD_FILE if settings.head.train else None,
            "scores": scores,
            "settings": asdict(settings),
        }
        (work / _DETAILS).write_text(json.dumps(details, indent=1), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        raise disk_error(work, error) from error
    return work


def _head_among(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(weight for name, weight in weights.items() if "lora_" not in name)


def publish(work: Path, step: int) -> Path:
    """Rename a finished folder into place: a checkpoint that can be seen is whole. Raises DiskError."""
    folder = work.parent / f"step-{step:06d}"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    except OSError as error:
        raise disk_error(folder, error) from error
    return folder


def disk_error(path: Path, error: OSError) -> DiskError:
    """Return our error for what the disk refused."""
    if error.errno == 28:
        return DiskError(f"The disk of {path} is full; free some space and resume: the last checkpoint is whole")
    return DiskError(f"{path} cannot be written ({error.strerror or error}); --set run.output=FOLDER that can")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint in `folder`. Raises CheckpointError where it is none, or not whole."""
    try:
        details = json.loads((folder / _DETAILS).read_text(encoding="utf-8"))
        found = Checkpoint(
            folder,
            int(details["step"]),
            settings_from(details["settings"], str(folder / _DETAILS)),
            dict(details["base"]),
            str(details["prompt_version"]),
            dict(details["scores"]),
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no {_DETAILS}: it is no checkpoint of train.finetune") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / _DETAILS} is damaged ({error}); take another checkpoint") from error
    needed = ["adapter_config.json", "adapter_model.safetensors"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not whole: {missing[0]} is missing; take another checkpoint")
    return found


def list_checkpoints(run: Path) -> list[Checkpoint]:
    """Return the checkpoints of a run by step, oldest first; a folder that is a checkpoint itself is the only one.

    Raises CheckpointError where there is none.
    """
    if (run / _DETAILS).is_file():
        return [read_checkpoint(run)]
    folders = sorted((run / CHECKPOINTS).glob("step-*")) if (run / CHECKPOINTS).is_dir() else []
    if not folders:
        raise CheckpointError(f"{run} holds no checkpoints; train first, or name the folder of a run")
    return sorted((read_checkpoint(folder) for folder in folders), key=lambda found: found.step)
