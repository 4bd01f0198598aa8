"""The training loop: the same losses whether it runs through or is killed at any step and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.batching import Batch, Plan, collate, token_batches
from train.checkpoint import publish, write_checkpoint
from train.encoding import Example
from train.errors import TrainError
from train.journal import Journal
from train.optimisers import learning_rate, set_learning_rate
from train.settings import TrainSettings
from train.sharding import clip_gradients, whole_weights
from train.state import Place, load_state, save_state

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from train.stepping import LossModel

__all__ = ["Data", "Trainer"]


@dataclass(frozen=True)
class Data:
    """Encoded rows; `pad_id` fills short ones; `fingerprint` tells other data from these."""

    train: tuple[Example, ...]
    eval: tuple[Example, ...]
    pad_id: int
    fingerprint: str


class Trainer:
    """One run on one device of possibly several. `on_checkpoint` hears of each finished checkpoint, on the first alone."""

    def __init__(
        self,
        model: LossModel,
        optimizer: torch.optim.Optimizer,
        data: Data,
        settings: TrainSettings,
        base: dict[str, Any],
        accelerator: Accelerator,
        journal: Journal,
        on_checkpoint: Callable[[Path, int], None] = lambda folder, step: None,
    ) -> None:
        """Prepare for the devices that `accelerator` found; with `memory.shard`, `model` is split over them already."""
        self.plan = Plan(
            tuple(len(example) for example in data.train),
            settings.batch,
            settings.optim,
            settings.data.seed,
            accelerator.num_processes,
        )
        self._inner = model
        self._sharded = settings.memory.shard
        self._model: Any = model
        self._optimizer: Any = optimizer
        if not self._sharded:
            self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._data, self._settings, self._base = data, settings, base
        self._accelerator, self._journal, self._on_checkpoint = accelerator, journal, on_checkpoint
        self._answers = tuple(len(example) - example.answer_start for example in data.train)
        self._run = Path(settings.run.output)
        self._done = 0
        self._scores: dict[str, float] = {}
        self.stop = False  # set from a signal handler: the current step ends, a checkpoint is written

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self._done >= self.plan.total_steps

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint, whose weights the model holds already. Raises CheckpointError."""
        process = self._accelerator
        self._done = load_state(folder, self._place(), self._optimizer, process.scaler)

    def rehearse(self) -> None:
        """Evaluate two batches and pass the largest training batch through and back: what fails, fails now.

        Nothing is learnt and no random number used up.
        """
        import torch

        forked = [self._accelerator.device] if self._accelerator.device.type == "cuda" else []
        with torch.random.fork_rng(devices=forked):
            batches = self._eval_batches()[: 2 * self._accelerator.num_processes]
            self._evaluate(batches)
            if not self.finished:
                steps = (
                    self.plan.step(step, self._accelerator.process_index) for step in range(len(self.plan.epoch(0)))
                )
                largest = max((batch for batches in steps for batch in batches), key=self._size)
                loss, _ = self._forward(self._batch(largest))
                self._accelerator.backward(loss / max(1, len(largest)))
                self._optimizer.zero_grad(set_to_none=True)

    def run(self) -> dict[str, float]:
        """Train to the end, or until `stop` is set; return the last scores. Raises TrainError, DiskError."""
        settings, total = self._settings.run, self.plan.total_steps
        if not self._done:
            self.evaluate()
        self._model.train()
        while not self.finished and not self.stop:
            values = self._step(self._done)
            self._done += 1
            self._journal.note("step", self._done, **values)
            if self._done % settings.log_every == 0 or self.finished:
                self._journal.show_step(self._done, total, values)
            last = self.finished or self.stop
            if last or (settings.eval_every and self._done % settings.eval_every == 0):
                self.evaluate()
            if last or (settings.save_every and self._done % settings.save_every == 0):
                self.save()
        return self._scores

    def evaluate(self) -> dict[str, float]:
        """Score all held-out rows; return loss (nats per answer token) and token accuracy in [0, 1]."""
        self._scores = self._evaluate(self._eval_batches())
        self._journal.note("eval", self._done, rows=len(self._data.eval), **self._scores)
        self._journal.say(
            f"step {self._done}: held-out loss {self._scores['loss']:.4f}, "
            f"token accuracy {self._scores['token_accuracy']:.3f}"
        )
        return self._scores

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and tell `on_checkpoint`."""
        process = self._accelerator
        work = [""]
        weights = whole_weights(self._inner, self._inner.model) if self._sharded else None
        if process.is_main_process:
            found = self._inner.model, self._settings, self._base, self._scores
            work = [str(write_checkpoint(self._run, self._done, *found, weights))]
        if process.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            broadcast_object_list(work)
        save_state(Path(work[0]), self._done, self._place(), self._optimizer, process.scaler)
        process.wait_for_everyone()
        if process.is_main_process:
            folder = publish(Path(work[0]), self._done)
            self._journal.note("save", self._done, folder=folder.name)
            self._on_checkpoint(folder, self._done)

    def _step(self, step: int) -> dict[str, float]:
        import torch

        process, settings = self._accelerator, self._settings.optim
        started = time.perf_counter()
        batches = self.plan.step(step, process.process_index)
        # The mean over all answer tokens of the step, whichever batch and device they are in. Data parallelism
        # averages over the devices, so it is multiplied back.
        scale = process.num_processes / self.plan.answer_tokens(step, self._answers)
        total = torch.zeros((), device=process.device)
        tokens = 0
        for number, rows in enumerate(batches, start=1):
            tokens += sum(self.plan.lengths[row] for row in rows)
            waits = self._sharded or number == len(batches)
            with nullcontext() if waits else process.no_sync(self._model):
                loss, _ = self._forward(self._batch(rows))
                process.backward(loss * scale)
            total += loss.detach() * scale
        norm = self._clip(settings.max_grad_norm) if settings.max_grad_norm else float("nan")
        rate = learning_rate(step, self.plan.total_steps, settings)
        set_learning_rate(self._optimizer.param_groups, rate)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        mean = float(process.reduce(total, reduction="mean"))
        if mean != mean or mean in (float("inf"), float("-inf")):
            raise TrainError(
                f"The loss at step {step + 1} is {mean}; resume from the last checkpoint with a lower "
                "optim.learning_rate, or a run of its own with base.dtype=bfloat16 where the card has it"
            )
        seconds = time.perf_counter() - started
        return {
            "loss": mean,
            "learning_rate": rate,
            "grad_norm": norm,
            "tokens_per_second": tokens * process.num_processes / seconds,
            "memory_bytes": _peak_memory(process.device),
        }

    def _clip(self, most: float) -> float:
        if self._sharded:
            return clip_gradients(self._model.parameters(), most)
        clipped = self._accelerator.clip_grad_norm_(self._model.parameters(), most)
        return float(clipped) if clipped is not None else float("nan")

    def _place(self) -> Place:
        process = self._accelerator
        return Place(process.process_index, process.num_processes, self._sharded, self._data.fingerprint)

    def _forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return self._model(batch.ids, batch.positions, batch.labels)  # type: ignore[no-any-return]

    def _batch(self, rows: Sequence[int], examples: Sequence[Example] | None = None) -> Batch:
        chosen = [(self._data.train if examples is None else examples)[row] for row in rows]
        return collate(chosen, self._data.pad_id, self._settings.batch.pad_multiple).to(self._accelerator.device)

    def _size(self, rows: Sequence[int]) -> int:
        return len(rows) * max(self.plan.lengths[row] for row in rows)

    def _eval_batches(self) -> list[list[int]]:
        """Return the held-out batches, the longest first."""
        lengths = [len(example) for example in self._data.eval]
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        return token_batches(lengths, self._settings.batch, order)

    def _evaluate(self, batches: Sequence[Sequence[int]]) -> dict[str, float]:
        import torch

        process = self._accelerator
        sums = torch.zeros(3, dtype=torch.float64, device=process.device)
        self._model.eval()
        with torch.no_grad():
            for batch, counts in self._mine(batches):
                loss, correct = self._inner.loss_of(batch)
                if counts:
                    sums += torch.stack([loss.double(), correct.double(), torch.tensor(len(batch.labels)).to(sums)])
        self._model.train()
        summed, right, count = (float(value) for value in process.reduce(sums, reduction="sum"))
        return {"loss": summed / max(1.0, count), "token_accuracy": right / max(1.0, count)}

    def _mine(self, batches: Sequence[Sequence[int]]) -> Iterator[tuple[Batch, bool]]:
        """Yield this process's batches, and whether each counts: one more that does not, where the others have one more.

        Each pass through a split model is one of all processes.
        """
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        for first in range(0, len(batches), world):
            counts = first + rank < len(batches)
            if counts or self._sharded:
                yield self._batch(batches[first + rank if counts else first], self._data.eval), counts


def _peak_memory(device: torch.device) -> int:
    """Return the most memory used so far in bytes: of the card, or of this process on a CPU."""
    import resource

    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
