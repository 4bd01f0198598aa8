"""`python -m train.finetune CONFIG`: adapters and head of a 4-bit base, trained on rows of questions and answers."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import CheckpointError, DataError, DeviceError
from train.settings import TrainSettings, describe, dump_settings, load_settings
from train.terminal import command_parser, run

if TYPE_CHECKING:
    from accelerate import Accelerator

    from train.trainer import Data, Trainer

__all__ = ["encode_data", "finetune", "main"]

_DESCRIPTION = """Fine-tune adapters and head of a 4-bit base on rows of questions and answers.

It evaluates two batches and rehearses the largest one before it starts, shows speed, memory and what is left, and writes
checkpoints to run.output and, in the background, to run.hub_repo. Ctrl-C ends after a checkpoint; --resume goes on with
the same losses as if nothing had happened."""
_EXAMPLES = """
python -m train.finetune train/configs/mistral-7b-p100.yaml
python -m train.finetune train/configs/smollm2-cpu.yaml --set data.train=rows.jsonl --set optim.epochs=2
python -m train.finetune train/configs/mistral-7b-p100.yaml --resume
accelerate launch --num_processes 2 -m train.finetune train/configs/t4x2.yaml
accelerate launch --num_processes 2 -m train.finetune train/configs/a10g.yaml --set memory.shard=true \
    --set optim.name=adamw --set base.quant_storage=bfloat16
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0 at the end, 130 where it was interrupted."""
    parser = command_parser("finetune", _DESCRIPTION, _EXAMPLES, "settings (default): meaning\n\n" + describe())
    parser.add_argument("config", help="YAML file; profiles are in train/configs")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one setting")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the newest checkpoint of run.output, or of run.hub_repo where this disk has none",
    )
    options = parser.parse_args(arguments)
    return finetune(load_settings(options.config, options.set), resume=options.resume)


def finetune(settings: TrainSettings, *, resume: bool = False) -> int:
    """Train as the settings say; return the exit code. Raises TrainError."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    from train.journal import Journal

    device, mixed = _device_and_precision(settings)
    accelerator = Accelerator(mixed_precision=mixed, cpu=device == "cpu")
    settings = _with_sharding(settings, str(accelerator.distributed_type.value))
    # One process fetches what the others then find.
    with accelerator.main_process_first():
        start = _start(settings, resume)
    set_seed(settings.run.seed + accelerator.process_index)
    journal = Journal(
        Path(settings.run.output), active=accelerator.is_main_process, resumed_at=start.step if start else 0
    )
    uploader = _uploader(settings, journal) if accelerator.is_main_process else None
    try:
        with _memory_explained(settings):
            trainer = _prepare(settings, accelerator, journal, start, uploader)
            if start:
                trainer.resume(start.folder)
            if not trainer.finished:
                trainer.rehearse()
                with _stopped_by_signals(trainer):
                    trainer.run()
    finally:
        if uploader is not None:
            _finish_uploads(uploader, settings, journal)
        if accelerator.num_processes > 1:
            accelerator.end_training()
    return _outcome(trainer, settings, journal)


def _outcome(trainer: Trainer, settings: TrainSettings, journal: Any) -> int:
    if not trainer.finished:
        journal.say("Stopped after a checkpoint; the same command with --resume goes on")
        return 130
    journal.say(f"All {trainer.plan.total_steps} steps are done. Next: python -m train.compare {settings.run.output}")
    return 0


def _with_sharding(settings: TrainSettings, distributed: str) -> TrainSettings:
    """Return the settings with `memory.shard` where the launcher was told to use FSDP.

    Raises DeviceError where it was told to shard the model in a way that is not ours.
    """
    if distributed == "FSDP":
        return replace(settings, memory=replace(settings.memory, shard=True))
    if distributed not in ("NO", "MULTI_CPU", "MULTI_GPU"):
        raise DeviceError(
            f"accelerate was told to use {distributed}, which is not built here; launch without it, or with --use_fsdp"
        )
    return settings


def _start(settings: TrainSettings, resume: bool) -> Any:
    """Return the checkpoint to go on from, None for a new run. Raises CheckpointError, HubError.

    Where this disk has none, since the machine that began the run is gone, the newest one on the Hub is fetched.
    """
    from train.checkpoint import CHECKPOINTS, list_checkpoints
    from train.state import require_same_run

    run_folder = Path(settings.run.output)
    here = any((run_folder / CHECKPOINTS).glob("step-*"))
    if here and not resume:
        raise CheckpointError(
            f"{run_folder} holds a run; --resume goes on with it, --set run.output=FOLDER starts another"
        )
    if resume and not here and settings.run.hub_repo:
        here = _fetched_from_hub(settings, run_folder / CHECKPOINTS)
    if not here:
        return None
    newest = list_checkpoints(run_folder)[-1]
    require_same_run(newest.settings, settings)
    return newest


def _fetched_from_hub(settings: TrainSettings, folder: Path) -> bool:
    """Put the newest checkpoint of the run's repository into `folder`, its state included; return whether it has one."""
    import shutil

    from train.checkpoint import disk_error, publish
    from train.hub import fetch_checkpoint, list_remote_checkpoints, prepare_repo
    from train.terminal import note

    repo = settings.run.hub_repo
    prepare_repo(repo, private=settings.run.hub_private)
    found = list_remote_checkpoints(repo)
    if not found:
        return False
    newest = max(found, key=lambda item: item.step)
    note(f"fetching {newest.tag} of {repo}")
    cached = fetch_checkpoint(repo, newest.tag, state=True)
    work = folder / f".fetching-{newest.tag}"
    try:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(cached, work)
    except OSError as error:
        raise disk_error(work, error) from error
    publish(work, newest.step)
    return True


def _device_and_precision(settings: TrainSettings) -> tuple[str, str]:
    """Return the device and what Accelerate calls its mixed precision: float16 needs its loss scaling, nothing else.

    Raises DeviceError where the profile needs a GPU and there is none.
    """
    import torch

    from train.base import training_dtype

    if not torch.cuda.is_available():
        if settings.base.quantization == "nf4":
            raise DeviceError(
                "No CUDA GPU is visible and base.quantization is nf4; start a GPU runtime, "
                "or try the small profile: train/configs/smollm2-cpu.yaml"
            )
        return "cpu", "no"
    dtype = training_dtype(settings.base, torch.device("cuda"))
    return "cuda", "fp16" if dtype is torch.float16 else "no"


def _prepare(settings: TrainSettings, accelerator: Accelerator, journal: Any, start: Any, uploader: Any) -> Trainer:
    from train.base import base_folder, load_base, training_dtype
    from train.checkpoint import base_facts, require_same_base
    from train.modelling import add_adapters, restore, trainable_line
    from train.optimisers import create_optimizer
    from train.sharding import require_shardable, shard
    from train.stepping import LossModel, prepare_layers
    from train.trainer import Trainer

    folder = base_folder(settings.base)
    if start:
        require_same_base(start, folder)
    dtype = training_dtype(settings.base, accelerator.device)
    if settings.memory.shard:
        require_shardable(settings, accelerator.num_processes, dtype)
    data = encode_data(settings, folder)
    journal.say(f"{len(data.train):,} rows to train on, {len(data.eval):,} held out")
    base = load_base(
        folder,
        dtype,
        accelerator.device,
        quantization=settings.base.quantization,
        quant_storage=settings.base.quant_storage,
        attention=settings.memory.attention,
    )
    model = add_adapters(base, settings)
    if start:
        restore(model, start.folder)
    journal.say(trainable_line(model))
    prepare_layers(model, settings.memory)
    loss_model = LossModel(model, dtype, settings.memory.loss_chunk_tokens)
    if settings.memory.shard:
        shard(loss_model, model, accelerator.device)
    optimizer = create_optimizer(loss_model, settings.optim, accelerator.device)
    if accelerator.is_main_process:
        _write_settings(settings)
    on_checkpoint = uploader.add if uploader is not None else lambda folder, step: None
    facts = base_facts(settings, folder)
    return Trainer(loss_model, optimizer, data, settings, facts, accelerator, journal, on_checkpoint)


def encode_data(settings: TrainSettings, folder: Path) -> Data:
    """Return the rows of a run as token ids, for the base in `folder`. Raises DataError."""
    from train.base import base_name
    from train.encoding import Encoder
    from train.rows import load_split
    from train.state import data_fingerprint
    from train.trainer import Data

    split = load_split(settings.data)
    encoder = Encoder(folder, base_name(settings.base))
    limits = settings.data.max_tokens, settings.data.overlong
    train, held_out = (encoder.encode_all(rows, *limits) for rows in (split.train, split.eval))
    if not train or not held_out:
        raise DataError(f"No row has room for an answer in data.max_tokens {settings.data.max_tokens}; raise it")
    return Data(tuple(train), tuple(held_out), encoder.pad_id, data_fingerprint(train))


def _write_settings(settings: TrainSettings) -> None:
    from train.checkpoint import disk_error

    path = Path(settings.run.output) / "settings.yaml"
    try:
        path.write_text(dump_settings(settings), encoding="utf-8")
    except OSError as error:
        raise disk_error(path, error) from error


@contextmanager
def _stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C and a polite kill end the run after its current step, with a checkpoint."""

    def stop(*_: object) -> None:
        trainer.stop = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _uploader(settings: TrainSettings, journal: Any) -> Any:
    """Return what uploads checkpoints in the background, None without run.hub_repo. Raises HubError without a token."""
    if not settings.run.hub_repo:
        return None
    from train.upload import Uploader

    return Uploader(settings.run.hub_repo, private=settings.run.hub_private, keep=settings.run.keep, journal=journal)


def _finish_uploads(uploader: Any, settings: TrainSettings, journal: Any) -> None:
    left = uploader.close()
    if left:
        journal.say(f"{len(left)} checkpoints are not on the Hub yet; python -m train.upload {settings.run.output}")


@contextmanager
def _memory_explained(settings: TrainSettings) -> Iterator[None]:
    """Turn exhausted memory into a DeviceError that says what to lower."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceError(
            f"The card ran out of memory with batch.tokens {settings.batch.tokens}; --set batch.tokens="
            f"{max(settings.data.max_tokens, settings.batch.tokens // 2)} --set batch.accumulation="
            f"{settings.batch.accumulation * 2} learns the same in less; memory.kept_layers=0 helps too"
        ) from error


if __name__ == "__main__":
    sys.exit(run(main))
