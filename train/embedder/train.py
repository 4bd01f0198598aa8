"""`python -m train.embedder.train FILE --pairs FILE...`: the sentence encoder learns which passages answer a question."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.embedder.batching import Encoded, batches, encode_pairs, hard_negatives
from train.embedder.network import base_folder, contrastive_loss, embed, encode_rows, load_encoder, open_tokenizer
from train.embedder.pairs import Pair, read_pairs
from train.errors import SettingsError
from train.reader.packing import save_reader
from train.terminal import command_parser, note, run, write

if TYPE_CHECKING:
    import torch

__all__ = ["Recipe", "main", "save_change", "train_embedder"]

_DESCRIPTION = """Fine-tune the sentence encoder on pairs of question and passage; other passages of a batch are the wrong ones.

FILE takes what changed, 4 bits a weight. The embeddings of words stand still. A GPU does an epoch of some thousand
pairs in seconds, two CPU cores in some minutes."""
_EXAMPLES = """
python -m train.embedder.train runs/embedder.safetensors --pairs runs/pairs.jsonl
python -m train.embedder.train runs/embedder.safetensors --pairs runs/pairs.jsonl --near 1 --hard 2 --mix 0.5
"""


@dataclass(frozen=True)
class Recipe:
    """How it is trained. `rate` is the peak of AdamW's, `scale` one over the temperature.

    `hard` wrong passages that look right join the batch for each of its rows. `near` weighs by how much vectors leave the
    base's (1 less the cosine). With `queries_only` passages keep the base's vectors, and all passages of all pairs are in
    each batch: an index then stays as it is. `mix` is the share of the change that is kept (Wortsman et al. 2022,
    arXiv:2109.01903). `steps` above 0 ends it early.
    """

    epochs: int = 2
    rate: float = 2e-5
    rows: int = 128
    scale: float = 20.0
    hard: int = 0
    near: float = 0.0
    queries_only: bool = False
    mix: float = 1.0
    seed: int = 0
    warmup: float = 0.1
    steps: int = 0

    def __post_init__(self) -> None:
        """Check the ranges. Raises SettingsError."""
        if self.epochs < 1 or self.rows < 2 or self.rate <= 0 or self.scale <= 0:
            raise SettingsError("epochs must be 1 or more, rows 2 or more, rate and scale above 0")
        if self.hard < 0 or self.near < 0 or self.steps < 0 or not 0 < self.mix <= 1:
            raise SettingsError("hard, near and steps must not be below 0, and mix must be in (0, 1]")


@dataclass(frozen=True)
class _Anchors:
    """The base's unit vectors of all queries and all passages, and the hard negatives of each pair."""

    queries: torch.Tensor
    passages: torch.Tensor
    hard: list[list[int]]


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("embedder.train", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, help="where the change goes")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="files of train.embedder.build")
    parser.add_argument("--base", type=Path, help="folder of the encoder; the embedded one")
    for name, kind, text in (
        ("epochs", int, "times that each pair is seen"), ("rate", float, "peak learning rate"),
        ("rows", int, "pairs of a batch"), ("scale", float, "one over the temperature"),
        ("hard", int, "wrong passages that look right, for each pair"),
        ("near", float, "weight of nearness to the base's vectors"), ("mix", float, "share of the change that is kept"),
        ("seed", int, "order of the pairs"), ("steps", int, "batches at most; 0: all"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, default=getattr(Recipe, name), help=text)
    parser.add_argument("--queries-only", action="store_true", help="passages keep the vectors that they have")
    options = vars(parser.parse_args(arguments))
    file, pairs, base = options.pop("file"), options.pop("pairs"), base_folder(options.pop("base"))
    recipe = Recipe(**options)
    save_change(train_embedder(read_pairs(pairs), recipe, base), file, base, recipe.mix)
    write(f"{file}\n")
    return 0


def train_embedder(pairs: Sequence[Pair], recipe: Recipe, base: Path) -> Any:
    """Return the trained encoder, on a GPU where there is one. `mix` is not applied: `save_change` does."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    encoder, tokenizer = load_encoder(base, device), open_tokenizer(base)
    encoder.embeddings.requires_grad_(False)
    encoded = encode_pairs(pairs, tokenizer)
    anchors = _anchors(encoder, encoded, recipe)
    chance = random.Random(recipe.seed)  # noqa: S311
    order = [batch for _ in range(recipe.epochs) for batch in batches(len(pairs), recipe.rows, chance)]
    order = order[: recipe.steps or None]
    learning = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=0.01)
    encoder.train()
    summed, told, started = torch.zeros((), device=device), 0, time.monotonic()
    for step, batch in enumerate(order, start=1):
        rise, fall = step / max(1.0, recipe.warmup * len(order)), 1 - (step - 1) / len(order)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(1.0, rise, fall / (1 - recipe.warmup))
        loss = _loss(encoder, encoded, batch, anchors, recipe, chance)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        summed += loss.detach()
        if step * 8 // len(order) > (step - 1) * 8 // len(order):
            spent = time.monotonic() - started
            note(f"step {step} of {len(order)}: loss {float(summed) / (step - told):.3f}, {spent:.0f} s")
            summed, told = torch.zeros((), device=device), step
    return encoder.eval()


def save_change(encoder: Any, path: Path, base: Path, mix: float = 1.0) -> None:
    """Write `mix` times what changed against the encoder in `base`, as `rag_core.encoder.changes.unpacked` reads it."""
    from safetensors.torch import load_file

    stored = load_file(base / "model.safetensors")
    before = {name.removeprefix("bert."): tensor for name, tensor in stored.items()}
    trained = {name: tensor.cpu().float() for name, tensor in encoder.state_dict().items() if name in before}
    kept = {name: mixed(before[name].float(), tensor, mix) for name, tensor in trained.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_reader(kept, before, path)


def mixed(before: torch.Tensor, after: torch.Tensor, mix: float) -> torch.Tensor:
    """Return the point that lies the share `mix` of the way from `before` to `after`."""
    return before + mix * (after - before)


def _anchors(encoder: Any, encoded: Encoded, recipe: Recipe) -> _Anchors | None:
    """Return the base's vectors where the recipe needs them."""
    if not (recipe.near or recipe.hard or recipe.queries_only):
        return None
    queries, passages = encode_rows(encoder, encoded.queries), encode_rows(encoder, encoded.passages)
    hard = hard_negatives(encoded, queries, passages) if recipe.hard else []
    return _Anchors(queries, passages, hard)


def _loss(
    encoder: Any, encoded: Encoded, batch: list[int], anchors: _Anchors | None, recipe: Recipe, chance: random.Random
) -> torch.Tensor:
    """Return the loss of one batch: contrast, and how far its vectors left the base's."""
    import torch

    shown = (
        list(range(len(encoded.passages))) if recipe.queries_only else _shown(encoded, batch, anchors, recipe, chance)
    )
    places = {passage: place for place, passage in enumerate(shown)}
    device = encoder.device
    own = torch.tensor([places[encoded.own[number]] for number in batch], device=device)
    groups = torch.tensor([encoded.groups[number] for number in batch], device=device)
    passage_groups = torch.tensor([encoded.passage_groups[passage] for passage in shown], device=device)
    queries = embed(encoder, [encoded.queries[number] for number in batch])
    if recipe.queries_only and anchors:
        passages = anchors.passages
    else:
        passages = embed(encoder, [encoded.passages[passage] for passage in shown])
    loss = contrastive_loss(queries, passages, own, groups[:, None] == passage_groups, recipe.scale)
    if recipe.near and anchors:
        apart = 1 - (queries * anchors.queries[batch]).sum(dim=1).mean()
        if not recipe.queries_only:
            apart = apart + 1 - (passages * anchors.passages[shown]).sum(dim=1).mean()
        loss = loss + recipe.near * apart
    return loss


def _shown(
    encoded: Encoded, batch: list[int], anchors: _Anchors | None, recipe: Recipe, chance: random.Random
) -> list[int]:
    """Return the passages of a batch, each once: its pairs' own ones, then wrong ones that look right."""
    shown = [encoded.own[number] for number in batch]
    for number in batch if anchors and recipe.hard else ():
        likely = anchors.hard[number] if anchors else []
        shown += chance.sample(likely, min(recipe.hard, len(likely)))
    return list(dict.fromkeys(shown))


if __name__ == "__main__":
    sys.exit(run(main))
