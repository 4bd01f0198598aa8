"""What a run needs to go on exactly where it was: optimizer, loss scale, random numbers, and its place in the data."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from train.checkpoint import STATE
from train.encoding import Example
from train.errors import CheckpointError
from train.settings import TrainSettings
from train.sharding import local_state, put_local_state

__all__ = ["Place", "data_fingerprint", "load_state", "require_same_run", "save_state"]

_POSITION = "position.json"
# May differ between a run and its continuation: where things go, and what trades memory against time.
_FREE = {"run": None, "memory": None}


def data_fingerprint(examples: Sequence[Example]) -> str:
    """Return a hash of all token ids and masks, in order."""
    digest = sha256()
    for example in examples:
        digest.update(repr((example.ids, example.answer_start)).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a process stands in a run: its rank among `world`, whether the model is split over them, and on what rows."""

    rank: int
    world: int
    sharded: bool
    fingerprint: str


def save_state(work: Path, step: int, place: Place, optimizer: Any, scaler: Any) -> None:
    """Write this process's state into the `state` folder of a checkpoint that is being written."""
    import torch

    folder = work / STATE
    optimizer_state = local_state(optimizer) if place.sharded else optimizer.state_dict()
    torch.save(optimizer_state, folder / f"optimizer-{place.rank}.pt")
    torch.save(_random_state(), folder / f"random-{place.rank}.pt")
    if place.rank == 0:
        scale = scaler.state_dict() if scaler is not None else None
        position = {
            "step": step,
            "world": place.world,
            "sharded": place.sharded,
            "data": place.fingerprint,
            "scaler": scale,
        }
        (folder / _POSITION).write_text(json.dumps(position), encoding="utf-8")


def load_state(folder: Path, place: Place, optimizer: Any, scaler: Any) -> int:
    """Put back what `save_state` wrote and return the number of finished steps.

    Raises CheckpointError where it is damaged, the data differs, or processes of another number or kind wrote it.
    """
    import torch

    state = folder / STATE
    try:
        position = json.loads((state / _POSITION).read_text(encoding="utf-8"))
        if position["world"] != place.world:
            raise CheckpointError(
                f"{folder.name} was written by {position['world']} processes and {place.world} are running; "
                "start as many"
            )
        if position.get("sharded", False) != place.sharded:
            raise CheckpointError(
                f"{folder.name} was written with memory.shard={str(not place.sharded).lower()}; resume with the same"
            )
        if position["data"] != place.fingerprint:
            raise CheckpointError(
                f"{folder.name} was trained on other rows, or with another tokenizer or prompt; "
                "use the same data, or start a new run"
            )
        held = torch.load(state / f"optimizer-{place.rank}.pt", map_location="cpu", weights_only=True)
        if place.sharded:
            put_local_state(optimizer, held)
        else:
            optimizer.load_state_dict(held)
        if scaler is not None and position["scaler"]:
            scaler.load_state_dict(position["scaler"])
        _set_random_state(torch.load(state / f"random-{place.rank}.pt", map_location="cpu", weights_only=True))
        return int(position["step"])
    except CheckpointError:
        raise
    except Exception as error:  # torch raises its own kinds beside OSError, ValueError and pickle's.
        raise CheckpointError(f"{state} cannot be read ({error}); resume from an earlier checkpoint") from error


def require_same_run(saved: TrainSettings, asked: TrainSettings) -> None:
    """Raise CheckpointError where a setting differs that changes what is learnt."""
    before, now = ({**asdict(item), **_FREE} for item in (saved, asked))
    for section, values in now.items():
        for key, value in (values or {}).items():
            if before[section][key] != value:
                raise CheckpointError(
                    f"{section}.{key} was {before[section][key]} and is {value} now; "
                    "resume with the same settings, or start a new run with --set run.output=FOLDER"
                )


def _random_state() -> dict[str, Any]:
    import numpy as np
    import torch

    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": (version, list(words), gauss),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_random_state(state: dict[str, Any]) -> None:
    import numpy as np
    import torch

    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
