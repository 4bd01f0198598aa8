"""`python -m train.ranker.train FILE --lists FOLDER`: a small model learns to put the window that answers first."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.answers.readingmodels import plain_tokenizer
from rag_core.search.ranking import MOST_QUESTION, MOST_WINDOW
from train.descent import Descent
from train.embedder.batching import batches
from train.embedder.network import base_folder
from train.embedder.sources import SECTIONS
from train.errors import SettingsError
from train.ranker.batching import Rows, Table, draw, rows_of, table
from train.ranker.lists import Listed, RankingLists, read_lists
from train.ranker.network import distilling_loss, listwise_loss, scores_of
from train.reader.network import build_network, load_network, save_network
from train.terminal import command_parser, note, run, write

if TYPE_CHECKING:
    import torch

__all__ = ["Recipe", "main", "train_ranker"]

_DESCRIPTION = """Train a ranking model: MiniLM reads a question with each of several windows, and learns to score highest the
one that answers; where none does, "none" must win. With --teachers it learns to score as they do together.
FILE takes what changed, 4 bits a weight. A GPU does it in minutes."""
_EXAMPLES = """
python -m train.ranker.train runs/ranker.safetensors --lists runs/lists
python -m train.ranker.train runs/ranker.safetensors --lists runs/lists --start rag_core/data/reader.safetensors --rate 2e-4
python -m train.ranker.train runs/ranker.safetensors --lists runs/lists --start runs/a.safetensors --teachers runs/a.safetensors \
  runs/b.safetensors
"""


@dataclass(frozen=True)
class Recipe:
    """How it is trained: `rows` lists a step, `windows` of each; `rate` is the peak of AdamW's.

    `unanswered` is the share of lists without a right window that an epoch takes, `headed` that of windows under a title.
    What is kept is a running average of the weights: `average` is how much of it a step keeps.
    """

    epochs: int = 3
    rate: float = 2e-4
    rows: int = 32
    windows: int = 16
    unanswered: float = 0.5
    headed: float = 0.3
    seed: int = 0
    warmup: float = 0.06
    average: float = 0.998

    def __post_init__(self) -> None:
        """Check the ranges. Raises SettingsError."""
        if self.epochs < 1 or self.rows < 2 or self.windows < 2 or self.rate <= 0:
            raise SettingsError("epochs must be 1 or more, rows and windows 2 or more, and rate above 0")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("ranker.train", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, help="where the change goes")
    parser.add_argument("--lists", type=Path, required=True, help="folder of train.ranker.build")
    parser.add_argument("--base", type=Path, help="folder of the encoder; the embedded one")
    parser.add_argument("--start", type=Path, help="go on from the encoder of this file, a reader's or a ranker's")
    parser.add_argument(
        "--teachers", type=Path, nargs="+", default=(), metavar="FILE", help="learn the mean of these models' scores"
    )
    for name, kind, text in (
        ("epochs", int, "times that each question is seen"), ("rate", float, "peak learning rate"),
        ("rows", int, "lists a step"), ("windows", int, "windows of a list"), ("seed", int, "order of the lists"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, default=getattr(Recipe, name), help=text)
    options = vars(parser.parse_args(arguments))
    file, lists, start, base, teachers = (options.pop(name) for name in ("file", "lists", "start", "base", "teachers"))
    folder = base_folder(base)

    def save(network: Any) -> None:
        save_network(network, folder, file)

    train_ranker(read_lists(lists), Recipe(**options), folder, save, start, teachers)
    write(f"{file}\n")
    return 0


def train_ranker(
    found: RankingLists,
    recipe: Recipe,
    folder: Path,
    on_epoch: Callable[[Any], object] = lambda _: None,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
) -> Any:
    """Return the trained network over the encoder in `folder`.

    `on_epoch` is given the network with its averaged weights after each epoch. Of `teachers`, files of earlier runs, it learns
    the mean of their scores in place of which windows are right. Raises CheckpointError, or BaseModelError where one of the
    files is of another model.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    network = _network(folder, device, start).train()
    taught_by = [_network(folder, device, path).eval() for path in teachers]
    shown = _Shown(found, folder, device, recipe)
    descent = Descent(network, rate=recipe.rate, warmup=recipe.warmup, average=recipe.average)
    started = time.monotonic()
    for number in range(recipe.epochs):
        order = shown.order()
        summed = torch.zeros((), device=device)
        for batch in order:
            loss = _loss(network, taught_by, *shown.rows(batch))
            descent.step(loss, len(order) * recipe.epochs)
            summed += loss.detach()
        note(f"epoch {number + 1}: loss {float(summed) / len(order):.3f}, {time.monotonic() - started:.0f} s")
        with descent.averaged(), torch.no_grad():
            on_epoch(network)
    descent.keep_average()
    return network.eval()


def _network(folder: Path, device: torch.device, path: Path | None) -> Any:
    """Return the encoder in `folder` with a head of one score, and with what the file at `path` changes."""
    network = build_network(folder, device, outputs=1)
    if path is not None:
        load_network(network, folder, path)
    return network


def _loss(network: Any, teachers: Sequence[Any], rows: Rows, right: torch.Tensor) -> torch.Tensor:
    import torch

    scores = scores_of(network, rows).view(right.shape)
    if not teachers:
        return listwise_loss(scores, right)
    with torch.no_grad():
        taught = torch.stack([scores_of(teacher, rows) for teacher in teachers]).mean(0)
    return distilling_loss(scores, taught.view(right.shape))


class _Shown:
    """The lists as a network is shown them, its tables on the network's device."""

    def __init__(self, found: RankingLists, folder: Path, device: torch.device, recipe: Recipe) -> None:
        tokenizer = plain_tokenizer(folder)
        self._marks = tokenizer.encode("").ids[0], tokenizer.encode("").ids[-1]
        self._chance = random.Random(recipe.seed)  # noqa: S311
        self._recipe = recipe
        self._answered = [number for number, each in enumerate(found.lists) if each.right]
        self._unanswered = [number for number, each in enumerate(found.lists) if not each.right]
        self._lists: tuple[Listed, ...] = found.lists
        self._questions: Table = table([each.question for each in found.lists], tokenizer, MOST_QUESTION, device)
        titled = [f"{self._chance.choice(SECTIONS)}\n{text}" for text in found.windows]
        self._windows: Table = table([*found.windows, *titled], tokenizer, MOST_WINDOW, device)
        self._titled_from = len(found.windows)

    def order(self) -> list[list[int]]:
        """Return the batches of an epoch, by the lists' numbers."""
        some = self._chance.sample(self._unanswered, int(len(self._unanswered) * self._recipe.unanswered))
        chosen = [*self._answered, *some]
        return [[chosen[place] for place in batch] for batch in batches(len(chosen), self._recipe.rows, self._chance)]

    def rows(self, batch: Sequence[int]) -> tuple[Rows, torch.Tensor]:
        """Return rows of drawn windows, list by list, and which of them are right (lists, windows)."""
        import torch

        drawn = draw([self._lists[number] for number in batch], self._recipe.windows, self._chance)
        windows = [
            [number + self._titled_from * (self._chance.random() < self._recipe.headed) for number in row]
            for row in drawn.windows
        ]
        device = self._questions.ids.device
        asked = torch.tensor(batch, device=device).repeat_interleave(self._recipe.windows)
        shown = torch.tensor(windows, device=device).flatten()
        rows = rows_of(self._questions, self._windows, asked, shown, self._marks)
        return rows, torch.tensor(drawn.right, device=device)


if __name__ == "__main__":
    sys.exit(run(main))
