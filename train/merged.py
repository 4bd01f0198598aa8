"""A merged folder: made in a folder beside it, proved, put into place, pushed; what is there already is left as it is.

It appears whole and proved, or not at all. What fails the gate stays beside it under another name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.config import GenerationConfig
from rag_core.policy import policy_for
from train.checkpoint import CHECKPOINTS, require_same_base
from train.devices import device_of
from train.equivalence import Figures, Limits
from train.errors import DiskError, EquivalenceError
from train.manifest import MANIFEST, Manifest, file_hashes, inputs_of, read_manifest
from train.proving import held_out_examples, prove
from train.terminal import note

if TYPE_CHECKING:
    from train.card import GateResult
    from train.checkpoint import Checkpoint
    from train.encoding import Encoder
    from train.merging import Merger

__all__ = ["POSITIONS", "MergeRequest", "Merged", "merge_run"]

POSITIONS = 4096
SHARD_BYTES = 2_000_000_000
_WORK = ".merging-"
_REJECTED = ".rejected"
# Room for tokenizer, card and manifest beside the weights.
_SMALL_FILES_BYTES = 64 << 20


@dataclass(frozen=True)
class MergeRequest:
    """What to merge, and how. `output` None: RUN/merged/BASE-step-N; `text` None: the run's held-out rows.

    `positions` is about how many tokens the gate compares; `gate_dtype`, in which
    it holds the weights, is `auto` or one of DTYPES.
    """

    run: str
    checkpoint: str = "best"
    base: str = ""
    output: Path | None = None
    dtype: str = "bfloat16"
    text: str = ""
    positions: int = POSITIONS
    device: str = "auto"
    gate_dtype: str = "auto"
    drift: bool = True
    limits: Limits = field(default_factory=Limits)
    shard_bytes: int = SHARD_BYTES
    push: str = ""
    private: bool = True


@dataclass(frozen=True)
class Merged:
    """A merged folder that passed. `fresh` tells whether this call made it, `pushed` the commit of this call, if any."""

    folder: Path
    gate: dict[str, Any]
    fresh: bool
    pushed: str = ""


def merge_run(request: MergeRequest, on_progress: Callable[[str], None] = note) -> Merged:
    """Merge, prove, put into place and push; what is there already is not made or pushed again. Raises TrainError."""
    from train.base import base_folder
    from train.selecting import select_checkpoint

    if request.push:
        from train.hub import prepare_repo

        # A wrong token or name is told before the work, not after it.
        prepare_repo(request.push, private=request.private)
    device_of(request.device)
    checkpoint = select_checkpoint(request.run, request.checkpoint)
    settings = checkpoint.settings.base
    base = base_folder(replace(settings, model=request.base, revision="") if request.base else settings)
    require_same_base(checkpoint, base)
    output = request.output or _default_output(request.run, checkpoint)
    for name in filter(None, (output.name, request.push)):
        _warn_of_name(checkpoint, name, on_progress)
    inputs = inputs_of(base, checkpoint, request.dtype)
    on_progress(f"step {checkpoint.step} of {request.run} over {base.name}")
    held = _finished(output, inputs)
    if held is None:
        held = _make(request, base, checkpoint, output, inputs, on_progress)
        found = Merged(output, held.gate, fresh=True)
    else:
        on_progress(f"{output} holds this merge already")
        Figures.from_dict(held.gate["merged"]).require(request.limits)
        found = Merged(output, held.gate, fresh=False)
    return replace(found, pushed=_push(request, output, on_progress)) if request.push else found


def _default_output(run_name: str, checkpoint: Checkpoint) -> Path:
    """Return where a merge goes. The base's name is in it: the chat tells by the name how to instruct a model."""
    folder = Path(run_name).expanduser()
    name = f"{_served_name(checkpoint)}-step-{checkpoint.step:06d}"
    if not folder.is_dir():
        return Path("merged") / f"{run_name.partition('@')[0].replace('/', '--')}-{name}"
    # The folder of a checkpoint stands in RUN/checkpoints; a merge inside it would change what it is made from.
    if folder.resolve() == checkpoint.folder.resolve():
        above = folder.resolve().parent
        return (above.parent if above.name == CHECKPOINTS else above) / "merged" / name
    return folder / "merged" / name


def _served_name(checkpoint: Checkpoint) -> str:
    return Path(str(checkpoint.base.get("model", "model"))).name


def _warn_of_name(checkpoint: Checkpoint, name: str, on_progress: Callable[[str], None]) -> None:
    """Tell where the chat would take the model for one of another size than it was trained as."""
    config = GenerationConfig()
    if policy_for(name, config) != policy_for(str(checkpoint.base.get("model", "")), config):
        on_progress(
            f"The chat tells a model's size by its name, and {name} hides it: it would be instructed otherwise than it "
            f"was trained; have {_served_name(checkpoint)} in the name"
        )


def _finished(output: Path, inputs: dict[str, Any]) -> Manifest | None:
    """Return the manifest of `output` where it is this merge, whole; None where it must be made. Raises DiskError."""
    if not output.exists():
        return None
    found = read_manifest(output)
    # A folder of someone else's is never taken away.
    if not output.is_dir() or (not (output / MANIFEST).is_file() and any(output.iterdir())):
        raise DiskError(f"{output} holds something else; name another folder with --output")
    return found if found is not None and found.inputs == inputs and found.describes(output) else None


def _make(
    request: MergeRequest,
    base: Path,
    checkpoint: Checkpoint,
    output: Path,
    inputs: dict[str, Any],
    on_progress: Callable[[str], None],
) -> Manifest:
    """Build the merge in a folder beside `output`, prove it, and rename it into place."""
    from train.encoding import Encoder
    from train.merging import Merger
    from train.weightfiles import written

    encoder = Encoder(base, str(checkpoint.base.get("model", base.name)))
    examples = held_out_examples(request, checkpoint, encoder)
    merger = Merger(base, checkpoint)
    work = output.parent / f"{_WORK}{output.name}"
    with written(output):
        # Left behind by a run that was killed.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    try:
        _require_space(work, merger, request.dtype)
        _write_model(request, base, merger, encoder, work, on_progress)
        try:
            gate = prove(request, base, merger, examples, work, on_progress)
        except EquivalenceError as error:
            kept = _set_aside(work, output)
            raise EquivalenceError(f"{error}. Nothing is pushed; {kept} is kept to look at") from error
        manifest = _finish(request, checkpoint, gate, inputs, work, has_head=merger.head is not None)
        with written(output):
            if output.exists():
                shutil.rmtree(output)
            work.rename(output)
        return manifest
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_model(
    request: MergeRequest,
    base: Path,
    merger: Merger,
    encoder: Encoder,
    work: Path,
    on_progress: Callable[[str], None],
) -> None:
    from train.packaging import write_small_files
    from train.weightfiles import written

    merger.write(work, request.dtype, request.shard_bytes, on_progress)
    with written(work):
        write_small_files(base, work, encoder, request.dtype, tied=merger.tied)


def _finish(
    request: MergeRequest,
    checkpoint: Checkpoint,
    gate: GateResult,
    inputs: dict[str, Any],
    work: Path,
    *,
    has_head: bool,
) -> Manifest:
    """Write card and manifest into a folder that passed the gate."""
    from train.card import model_card
    from train.weightfiles import written

    with written(work):
        card = model_card(checkpoint, gate, request.dtype, has_head=has_head, repo=request.push)
        (work / "README.md").write_text(card, encoding="utf-8")
        manifest = Manifest(inputs, file_hashes(work.iterdir()), gate.as_dict())
        manifest.write(work)
    return manifest


def _require_space(work: Path, merger: Merger, dtype: str) -> None:
    import torch

    weights = sum(part.size for part in merger.parts) * getattr(torch, dtype).itemsize
    needed, free = weights + _SMALL_FILES_BYTES, shutil.disk_usage(work).free
    if free < needed:
        raise DiskError(
            f"The merge takes {needed / 1e9:.1f} GB in {work.parent} and {free / 1e9:.1f} GB are free; free some, or "
            "name another disk with --output"
        )


def _set_aside(work: Path, output: Path) -> Path:
    rejected = output.parent / f"{output.name}{_REJECTED}"
    shutil.rmtree(rejected, ignore_errors=True)
    work.rename(rejected)
    return rejected


def _push(request: MergeRequest, folder: Path, on_progress: Callable[[str], None]) -> str:
    """Upload the folder in one commit, and return its id; empty where the Hub has this merge already."""
    from train.hub import hub_api, push_folder, translated_hub
    from train.manifest import git_blob_id

    with translated_hub(request.push):
        # The manifest holds the hashes of all the other files and came with them, so it speaks for them.
        held = hub_api().get_paths_info(request.push, [MANIFEST])
    if any(getattr(item, "blob_id", "") == git_blob_id(folder / MANIFEST) for item in held):
        on_progress(f"{request.push} holds this merge already")
        return ""
    on_progress(f"uploading to {request.push}")
    message = f"Merged model, proved equal to its checkpoint ({folder.name})"
    return push_folder(folder, request.push, message, private=request.private, replaces=MANIFEST)
