"""`python -m train.reader.train FILE`: a small model learns to read, and what changed is written for `rag_core`."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rag_core.answers.readingmodels import pair_tokenizer, plain_tokenizer
from train.descent import Descent
from train.errors import DataError
from train.reader.cloze import cloze_examples
from train.reader.examples import ReadingExample, compose, held_out, report_examples
from train.reader.formulas import Calculation, apart, calculations_over, load_calculations
from train.reader.generator import build_generator, generator_folder, load_generator, save_generator
from train.reader.network import base_encoder, build_network, load_network, reading_loss, save_network, scores_of
from train.reader.pairs import MAX_TOKENS, Pair, batch_of, encode_pairs
from train.reader.paragraphs import Paragraph, load_paragraphs
from train.reader.planning import calculation_examples
from train.terminal import command_parser, note, run, write

# Of the generator's adapters, and the most tokens of its rows: it writes figures with a token a digit.
_RANK, _GENERATOR_TOKENS = 32, 512

__all__ = ["Recipe", "epoch_batches", "main", "train_reader"]

_DESCRIPTION = """Train a reading model: MiniLM on the paragraphs of train/reader, on invented reports, and on gaps.

A GPU does it in minutes; two CPU cores take a night. FILE is what rag_core/data/reader.safetensors is. With --generator
it is SmolLM2 that learns, its layers seeing both ways, and FILE is what close_reader.safetensors there is; it learns to plan
calculations, too."""
_EXAMPLES = """
python -m train.reader.train runs/reader.safetensors
python -m train.reader.train runs/reader.safetensors --all --epochs 8 --rate 5e-4
python -m train.reader.train runs/close.safetensors --generator --all --epochs 8 --rate 1e-3 --rows 96
python -m train.reader.train runs/more.safetensors --generator --all --epochs 4 --rate 4e-4 --start runs/close.safetensors
"""


@dataclass(frozen=True)
class Recipe:
    """How it is trained. `rate` is the peak of AdamW's; `reports` rows over invented reports an epoch.

    `gaps` says whether questions made by rule are practised on at first. `rank` is that of the adapters where the
    generator learns, 0 where the encoder does, and rows are then of at most `tokens`. What is kept is a running average of
    the weights: `average` is how much of it a step keeps (Polyak, Juditsky 1992).
    """

    epochs: int = 8
    rate: float = 5e-4
    rows: int = 48
    reports: int = 2_000
    seed: int = 0
    warmup: float = 0.06
    average: float = 0.998
    gaps: bool = True
    rank: int = 0
    tokens: int = MAX_TOKENS


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("reader.train", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, help="where the change goes")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="peak learning rate")
    parser.add_argument("--rows", type=int, default=Recipe.rows, help="rows a step")
    parser.add_argument("--reports", type=int, default=Recipe.reports, help="rows over invented reports an epoch")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--all", action="store_true", help="train on the held-out paragraphs too, not on formulas'")
    parser.add_argument(
        "--average", type=float, default=Recipe.average, help="share of the running average a step keeps"
    )
    parser.add_argument("--generator", action="store_true", help="train the generator, not the sentence encoder")
    parser.add_argument("--start", type=Path, help="go on from what this file of an earlier run learnt")
    options = parser.parse_args(arguments)
    recipe = Recipe(options.epochs, options.rate, options.rows, options.reports, options.seed, average=options.average)
    if options.generator:
        recipe = replace(recipe, gaps=False, rank=_RANK, tokens=_GENERATOR_TOKENS)
    paragraphs = load_paragraphs()
    trained, held = held_out(paragraphs)
    shown = paragraphs if options.all else trained
    calculations = apart(load_calculations())[0] + calculations_over(shown)
    folder = generator_folder() if options.generator else base_encoder()

    # After each epoch, so that a run that is cut short leaves what it has learnt.
    def save(network: Any) -> None:
        (save_generator if options.generator else save_network)(network, folder, options.file)

    train_reader(shown, calculations, recipe, folder, save, options.start)
    write(f"{options.file}\n")
    if not options.all:
        note(f"{len(held)} paragraphs were held out")
    return 0


def train_reader(
    paragraphs: Sequence[Paragraph],
    calculations: Sequence[Calculation],
    recipe: Recipe,
    folder: Path,
    on_epoch: Callable[[Any], object] = lambda _: None,
    start: Path | None = None,
) -> Any:
    """Return the trained network over the encoder, or with a rank the generator, in `folder`.

    `on_epoch` is given the network with its averaged weights after each epoch. `start` is a file of an earlier run to go on
    from. Raises CheckpointError, or BaseModelError where that is of another model.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    epochs = epoch_batches(paragraphs, calculations, recipe, folder, (os.cpu_count() or 2) // 2)
    network = (build_generator(folder, device, recipe.rank) if recipe.rank else build_network(folder, device)).train()
    if start is not None:
        (load_generator if recipe.rank else load_network)(network, folder, start)
    descent = Descent(network, rate=recipe.rate, warmup=recipe.warmup, average=recipe.average)
    started = time.monotonic()
    for number, batches in enumerate(epochs):
        if not batches:
            raise DataError("The paragraphs give no rows to train on; name some with questions")
        # How long the later ones are is not known yet: about as long, or somewhat shorter for want of gaps.
        total = descent.steps + len(batches) * (recipe.epochs - number)
        summed = torch.zeros((), device=device)
        for pairs in batches:
            batch = batch_of(pairs, device)
            loss = reading_loss(scores_of(network, batch), batch)
            descent.step(loss, total)
            summed += loss.detach()
        note(f"epoch {number + 1}: loss {float(summed) / len(batches):.3f}, {time.monotonic() - started:.0f} s")
        with descent.averaged(), torch.no_grad():
            on_epoch(network)
    descent.keep_average()
    return network.eval()


def epoch_batches(
    paragraphs: Sequence[Paragraph],
    calculations: Sequence[Calculation],
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
) -> Iterator[list[list[Pair]]]:
    """Yield the batches of each epoch. One takes some 20 s to encode, so several processes do it ahead."""
    work = partial(_epoch, paragraphs, calculations, recipe, folder)
    if workers < 2:
        yield from map(work, range(recipe.epochs))
        return
    with ProcessPoolExecutor(min(workers, recipe.epochs), mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, range(recipe.epochs))


def _epoch(
    paragraphs: Sequence[Paragraph],
    calculations: Sequence[Calculation],
    recipe: Recipe,
    folder: Path,
    number: int,
) -> list[list[Pair]]:
    """Return the batches of an epoch: rows of like length together, in an order of their own.

    Only the generator learns to plan; the encoder is shown what is said or not there.
    """
    tokenizer = pair_tokenizer(folder) if recipe.rank else plain_tokenizer(folder)
    chance = random.Random(1_000 * recipe.seed + number)  # noqa: S311
    examples: list[ReadingExample] = compose(paragraphs, chance) + report_examples(recipe.reports, chance)
    examples += calculation_examples([each for each in calculations if recipe.rank or each.formula is None], chance)
    if recipe.gaps:
        gaps = cloze_examples(paragraphs, chance)
        # Practice at first; towards the end only what people would ask.
        examples += chance.sample(gaps, int(len(gaps) * (1 - number / recipe.epochs)))
    pairs = encode_pairs(examples, tokenizer, chance, recipe.tokens)
    pairs.sort(key=lambda pair: len(pair.ids) + 30 * chance.random())
    batches = [pairs[start : start + recipe.rows] for start in range(0, len(pairs), recipe.rows)]
    chance.shuffle(batches)
    return batches


if __name__ == "__main__":
    sys.exit(run(main))
