"""Which rows go through the model together, and in what order: a pure function of the lengths, the settings and a seed.

Rows of like length share a batch, padded on the right to a few sizes. Attention is causal, so no row sees its own
padding, and none sees another row: exact on every card, with the fastest attention kernels and no mask at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.encoding import IGNORED, Example, labels_of
from train.errors import SettingsError
from train.settings import BatchSettings, OptimSettings

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "Plan", "collate", "padded_length", "token_batches"]

# So many batches' worth of shuffled rows are sorted by length at a time: rows stay well mixed.
_SORTED_TOGETHER = 32


@dataclass(frozen=True)
class Batch:
    """Tensors of one batch: `ids` (rows, tokens) and, flattened, where the answers' states stand and what they predict.

    `positions` (answer tokens,) index the rows x tokens hidden states; `labels` (answer tokens,) are the ids that follow.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Return it on a device, copied while the host goes on."""
        moved = (tensor.to(device, non_blocking=True) for tensor in (self.ids, self.positions, self.labels))
        return Batch(*moved)


def padded_length(length: int, multiple: int) -> int:
    """Return `length` raised to a multiple."""
    return -(-length // multiple) * multiple


def token_batches(lengths: Sequence[int], settings: BatchSettings, order: Sequence[int]) -> list[list[int]]:
    """Return batches of row numbers, each within `settings.tokens` padded tokens, like lengths together.

    `order` is the shuffled order; the batches come out sorted inside stretches of it.
    """
    average = max(1, settings.tokens // max(1, sum(lengths) // max(1, len(lengths))))
    stretch = _SORTED_TOGETHER * min(average, settings.rows or average)
    batches: list[list[int]] = []
    for start in range(0, len(order), stretch):
        batch: list[int] = []
        for row in sorted(order[start : start + stretch], key=lambda row: (-lengths[row], row)):
            # The first row is the longest, so it alone says what the batch is padded to.
            width = padded_length(lengths[batch[0]] if batch else lengths[row], settings.pad_multiple)
            if batch and ((len(batch) + 1) * width > settings.tokens or len(batch) == settings.rows):
                batches.append(batch)
                batch = []
            batch.append(row)
        if batch:
            batches.append(batch)
    return batches


@dataclass(frozen=True)
class Plan:
    """The whole run as steps: `rows(step)` names the rows of each batch of an optimizer step on one device.

    Nothing but the step number is needed to go on where a run was: the plan of an epoch follows from its seed.
    """

    lengths: tuple[int, ...]
    batch: BatchSettings
    optim: OptimSettings
    seed: int
    world: int = 1

    def __post_init__(self) -> None:
        """Refuse rows that no batch takes."""
        longest = max(self.lengths, default=0)
        if padded_length(longest, self.batch.pad_multiple) > self.batch.tokens:
            raise SettingsError(
                f"A row of {longest} tokens does not fit into batch.tokens {self.batch.tokens}; "
                "raise it, or lower data.max_tokens"
            )

    @property
    def total_steps(self) -> int:
        """Number of optimizer steps of the run."""
        if self.optim.max_steps:
            return self.optim.max_steps
        whole, part = int(self.optim.epochs), self.optim.epochs % 1
        steps = sum(len(self.epoch(number)) for number in range(whole))
        return max(1, steps + round(part * len(self.epoch(whole))) if part else steps)

    def epoch(self, number: int) -> list[list[list[int]]]:
        """Return the steps of an epoch, each a list of `accumulation` x `world` batches (the last step maybe fewer)."""
        found = _epochs.get((self, number))
        if found is None:
            found = _epochs[self, number] = self._plan(number)
        return found

    def step(self, step: int, rank: int = 0) -> list[list[int]]:
        """Return the batches (of row numbers) of step `step`, counted from 0, for the device `rank`."""
        number = 0
        while step >= len(self.epoch(number)):
            step -= len(self.epoch(number))
            number += 1
        return self.epoch(number)[step][rank :: self.world]

    def answer_tokens(self, step: int, answers: Sequence[int]) -> int:
        """Return the answer tokens of step `step` on all devices, given the number of each row."""
        return sum(answers[row] for rank in range(self.world) for batch in self.step(step, rank) for row in batch)

    def _plan(self, number: int) -> list[list[list[int]]]:
        random_order = random.Random(f"{self.seed}/{number}")  # noqa: S311
        order = list(range(len(self.lengths)))
        random_order.shuffle(order)
        batches = token_batches(self.lengths, self.batch, order)
        random_order.shuffle(batches)
        if missing := -len(batches) % self.world:
            # Every device must take part in every step: the first batches of the epoch come once more.
            batches += (batches * self.world)[:missing]
        size = self.batch.accumulation * self.world
        return [batches[start : start + size] for start in range(0, len(batches), size)]


# Plans of epochs, by plan and number: an epoch is asked for at each of its steps.
_epochs: dict[tuple[Plan, int], list[list[list[int]]]] = {}


def collate(examples: Sequence[Example], pad_id: int, pad_multiple: int) -> Batch:
    """Return the examples as one batch, padded on the right."""
    import torch

    width = padded_length(max(len(example) for example in examples), pad_multiple)
    ids = torch.full((len(examples), width), pad_id, dtype=torch.long)
    labels = torch.full((len(examples), width), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.ids)
        # The state at a token predicts the one after it, so labels stand one place earlier.
        labels[row, : len(example) - 1] = torch.tensor(labels_of(example)[1:])
    flat = labels.flatten()
    positions = (flat != IGNORED).nonzero()[:, 0]
    return Batch(ids, positions, flat[positions])
