"""Which checkpoint is meant: a run's folder, a checkpoint's folder or a repository on the Hub; by step, last or best."""

from __future__ import annotations

import json
import re
from pathlib import Path

from train.checkpoint import Checkpoint, list_checkpoints, read_checkpoint
from train.errors import CheckpointError, SettingsError
from train.heads import HEAD_FILE, LEGACY_HEAD_FILE
from train.hub import BEST_TAG, fetch_checkpoint, list_remote_checkpoints
from train.settings import settings_from

__all__ = ["UNKNOWN_PROMPT", "select_checkpoint"]

# The prompt version of a checkpoint that was made before versions were recorded.
UNKNOWN_PROMPT = "unknown"
_REPO = re.compile(r"([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?")


def select_checkpoint(run: str, wanted: str) -> Checkpoint:
    """Return the checkpoint of `run` that `wanted` (`best`, `last` or a step) names.

    `best` is what train.compare recorded, else the one with the least held-out loss while training.
    `run` is a folder of a run or of a checkpoint, or `owner/name[@revision]` on the Hub. A folder that an older
    notebook left, with an adapter and a head alone, counts as a checkpoint of step 0.
    Raises CheckpointError, HubError, SettingsError.
    """
    if wanted not in ("best", "last") and not wanted.isdigit():
        raise SettingsError(f"--checkpoint is {wanted!r}; take a step, best or last")
    folder = Path(run).expanduser()
    if not folder.is_dir():
        match = _REPO.fullmatch(run)
        if match is None or folder.exists():
            raise CheckpointError(f"{run} is no folder, and no owner/name of a repository; name a run or a checkpoint")
        return _read(fetch_checkpoint(match[1], match[2] or _revision(match[1], wanted)))
    if _is_legacy(folder):
        return _read(folder)
    found = list_checkpoints(folder)
    if wanted.isdigit():
        named = [item for item in found if item.step == int(wanted)]
        if not named:
            steps = ", ".join(str(item.step) for item in found)
            raise CheckpointError(f"{run} holds no checkpoint of step {wanted}; it has {steps}")
        return named[0]
    if wanted == "best" and (recorded := _recorded_best(folder)) is not None:
        return recorded
    scored = [item for item in found if item.scores.get("loss") is not None]
    if wanted == "last" or not scored:
        return found[-1]
    return min(scored, key=lambda item: (item.scores["loss"], item.step))


def _recorded_best(run: Path) -> Checkpoint | None:
    """Return the checkpoint that RUN/best.json names, None where there is none, or it is gone."""
    try:
        place = run / json.loads((run / "best.json").read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return read_checkpoint(place) if place.is_dir() else None


def _revision(repo: str, wanted: str) -> str:
    """Return the tag of a repository's checkpoint; without tags, its main branch."""
    if wanted.isdigit():
        return f"step-{int(wanted):06d}"
    from train.hub import hub_api, translated_hub

    if wanted == "best":
        with translated_hub(repo):
            if any(found.name == BEST_TAG for found in hub_api().list_repo_refs(repo).tags):
                return BEST_TAG
    found = list_remote_checkpoints(repo)
    return found[-1].tag if found else "main"


def _is_legacy(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file() and not (folder / "training.json").is_file()


def _read(folder: Path) -> Checkpoint:
    if not _is_legacy(folder):
        return read_checkpoint(folder)
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        lora = {"rank": config["r"], "alpha": config["lora_alpha"], "targets": sorted(config["target_modules"])}
        base = str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); take another checkpoint") from error
    has_head = any((folder / name).is_file() for name in (HEAD_FILE, LEGACY_HEAD_FILE))
    settings = settings_from({"base": {"model": base}, "lora": lora, "head": {"train": has_head}}, str(path))
    return Checkpoint(folder, 0, settings, {"model": base, "revision": ""}, UNKNOWN_PROMPT, {})
