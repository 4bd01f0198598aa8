"""Checkpoints of several runs on one set of held-out rows: which they are, what they are asked, and their scores."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.prompting import PROMPT_VERSION
from train.base import base_folder, base_name, load_base, training_dtype
from train.checkpoint import CHECKPOINTS, Checkpoint, list_checkpoints, read_checkpoint, require_same_base
from train.encoding import Encoder, Example, limited
from train.errors import CheckpointError, DataError, HubError
from train.heads import head_of
from train.hub import fetch_checkpoint, list_remote_checkpoints
from train.modelling import load_trained
from train.rows import Row, load_split
from train.scoring import AnswerScores, TokenScores, score_answers, score_examples
from train.selecting import select_checkpoint
from train.settings import TrainSettings, change_settings

if TYPE_CHECKING:
    import torch

__all__ = ["BASE", "Bench", "HeldOut", "Result", "Run", "best_result", "find_run", "held_out", "mounted"]

BASE = "base"
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_LOWER_IS_BETTER = ("loss",)


@dataclass(frozen=True)
class Run:
    """A run as the user names it: its checkpoints by step, its folder where it is on this disk, its Hub repository."""

    name: str
    checkpoints: tuple[Checkpoint, ...]
    folder: Path | None = None
    repo: str = ""

    @property
    def settings(self) -> TrainSettings:
        """The settings of its newest checkpoint."""
        return self.checkpoints[-1].settings


@dataclass(frozen=True)
class HeldOut:
    """The rows that all are scored on, and each row as token ids."""

    rows: tuple[Row, ...]
    examples: tuple[Example, ...]
    encoder: Encoder


@dataclass(frozen=True)
class Result:
    """Scores of one checkpoint, or of the base (no checkpoint). `answers` belong to the first rows."""

    run: str
    checkpoint: Checkpoint | None
    tokens: TokenScores
    texts: AnswerScores | None
    answers: tuple[str, ...]
    seconds: float

    @property
    def step(self) -> int | None:
        """The step of the checkpoint."""
        return None if self.checkpoint is None else self.checkpoint.step

    def measures(self) -> dict[str, float | None]:
        """Return all that was measured, by name; None where it was not."""
        texts = self.texts
        return {
            "loss": self.tokens.loss,
            "token_accuracy": self.tokens.token_accuracy,
            "f1": texts.f1 if texts else None,
            "exact": texts.exact if texts else None,
            "numeric": texts.numeric if texts else None,
        }


def find_run(name: str, changes: Sequence[str], say: Callable[[str], None]) -> Run:
    """Return the run that `name` means: a folder, or `owner/name[@revision]` on the Hub.

    Checkpoints that are on the Hub alone, since the run keeps few on disk, are fetched. `changes` (`section.key=value`)
    apply to the settings of all. Raises CheckpointError, HubError, SettingsError.
    """
    run = _found(name, say)
    if not changes:
        return run
    changed = [replace(found, settings=change_settings(found.settings, changes)) for found in run.checkpoints]
    return replace(run, checkpoints=tuple(changed))


def _found(name: str, say: Callable[[str], None]) -> Run:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _local(name, folder, say)
    if _REPO.fullmatch(name) and not folder.exists():
        remote = list_remote_checkpoints(name)
        if remote:
            found = [_fetched(name, item.tag, say) for item in remote]
            return Run(name, tuple(found), repo=name)
    # A revision of a repository, one without tags, or a name that is neither.
    return Run(name, (select_checkpoint(name, "last"),), repo=name.partition("@")[0])


def _local(name: str, folder: Path, say: Callable[[str], None]) -> Run:
    found = list_checkpoints(folder)
    run = found[-1].settings.run
    whole = (folder / CHECKPOINTS).is_dir()
    if whole and run.hub_repo and run.keep:
        here = {checkpoint.step for checkpoint in found}
        try:
            gone = [item for item in list_remote_checkpoints(run.hub_repo) if item.step not in here]
            found += [_fetched(run.hub_repo, item.tag, say) for item in gone if item.step < max(here)]
        except HubError as error:
            say(f"{name}: the checkpoints on this disk alone are compared ({error})")
    ordered = sorted(found, key=lambda checkpoint: checkpoint.step)
    return Run(name, tuple(ordered), folder if whole else None, run.hub_repo)


def _fetched(repo: str, tag: str, say: Callable[[str], None]) -> Checkpoint:
    say(f"fetching {tag} of {repo}")
    return read_checkpoint(fetch_checkpoint(repo, tag))


def held_out(runs: Sequence[Run], count: int, say: Callable[[str], None]) -> HeldOut:
    """Return the first run's held-out rows, at most `count` (0: all), but for those that another run was trained on.

    Raises DataError where none is left, CheckpointError where the runs have different bases.
    """
    settings = runs[0].settings
    folder = base_folder(settings.base)
    for run in runs:
        for checkpoint in run.checkpoints:
            require_same_base(checkpoint, folder)
        if _short(run.settings) != _short(settings):
            raise CheckpointError(
                f"{run.name} was trained on {base_name(run.settings.base)}, {runs[0].name} on "
                f"{base_name(settings.base)}; compare runs of one base"
            )
        if run.checkpoints[-1].prompt_version != PROMPT_VERSION:
            say(
                f"{run.name} was trained on prompts of version {run.checkpoints[-1].prompt_version}, not {PROMPT_VERSION}"
            )
    rows = load_split(settings.data).eval
    for run in runs[1:]:
        rows = _unseen(rows, run, runs[0], say)
    encoder = Encoder(folder, base_name(settings.base))
    pairs = [(row, limited(encoder.encode(row), settings.data.max_tokens, settings.data.overlong)) for row in rows]
    kept = [(row, example) for row, example in pairs if example is not None]
    kept = kept[:count] if count else kept
    if not kept:
        raise DataError(f"No held-out row of {runs[0].name} can be scored; raise data.max_tokens or take other rows")
    return HeldOut(tuple(row for row, _ in kept), tuple(example for _, example in kept), encoder)


def _short(settings: TrainSettings) -> str:
    """Return the base's name without owner or path: the same model may lie in different places."""
    return base_name(settings.base).rstrip("/").rpartition("/")[2]


def _unseen(rows: Sequence[Row], run: Run, first: Run, say: Callable[[str], None]) -> tuple[Row, ...]:
    if run.settings.data == first.settings.data:
        return tuple(rows)
    trained = {(row.question, row.context) for row in load_split(run.settings.data).train}
    unseen = tuple(row for row in rows if (row.question, row.context) not in trained)
    say(
        f"{run.name} held out other rows; all are scored on those of {first.name}"
        + (f", less {len(rows) - len(unseen)} that {run.name} was trained on" if len(unseen) < len(rows) else "")
    )
    if not unseen:
        raise DataError(
            f"{run.name} was trained on every row that {first.name} held out; compare it alone, "
            "or train it again with the same data settings"
        )
    return unseen


class Bench:
    """The base, loaded once, on which one checkpoint after the other is put."""

    def __init__(
        self, settings: TrainSettings, rows: HeldOut, device: torch.device, generate: int, new_tokens: int
    ) -> None:
        """Load the base: in 4 bits where the settings say so and there is a GPU. Raises BaseModelError, DeviceError."""
        on_gpu = device.type == "cuda"
        base = settings.base if on_gpu else replace(settings.base, quantization="none", dtype="auto")
        self.quantization, self._dtype = base.quantization, training_dtype(base, device)
        self.dtype = str(self._dtype).removeprefix("torch.")
        self._rows, self._device, self._settings = rows, device, settings
        self._generate, self._new_tokens = generate, new_tokens
        self._base = load_base(
            base_folder(base),
            self._dtype,
            device,
            quantization=base.quantization,
            quant_storage=base.quant_storage,
            attention=settings.memory.attention,
        ).eval()

    def score(self, run: str, checkpoint: Checkpoint | None, on_progress: Callable[[str, int, int], None]) -> Result:
        """Return the scores of a checkpoint, or of the base alone. Raises CheckpointError."""
        started = time.monotonic()
        if checkpoint is None:
            found = self._scores(self._base, on_progress)
        else:
            with mounted(self._base, checkpoint.folder) as model:
                found = self._scores(model, on_progress)
        return Result(run, checkpoint, *found, seconds=time.monotonic() - started)

    def _scores(
        self, model: Any, on_progress: Callable[[str, int, int], None]
    ) -> tuple[TokenScores, AnswerScores | None, tuple[str, ...]]:
        from train.answers import generate_answers

        rows, encoder = self._rows, self._rows.encoder
        tokens = score_examples(
            model,
            rows.examples,
            encoder.pad_id,
            self._device,
            self._settings.batch,
            chunk_tokens=self._settings.memory.loss_chunk_tokens,
            on_progress=lambda done, total: on_progress("rows", done, total),
        )
        asked = rows.rows[: self._generate]
        if not asked:
            return tokens, None, ()
        prompts = [example.ids[: example.answer_start] for example in rows.examples[: len(asked)]]
        made = generate_answers(
            model,
            prompts,
            encoder.end_id,
            encoder.pad_id,
            self._device,
            max_new_tokens=self._new_tokens,
            on_progress=lambda done, total: on_progress("answers", done, total),
        )
        answers = tuple(encoder.tokenizer.decode(ids).strip() for ids in made)
        return tokens, score_answers(answers, [row.answer for row in asked]), answers


@contextmanager
def mounted(base: Any, folder: Path) -> Iterator[Any]:
    """Put the adapters and the head of a checkpoint on a loaded base, and take them off again.

    Only what the checkpoint holds is loaded, so ten checkpoints of a 7B model do not mean ten times 15 GB to read.
    """
    head = head_of(base)
    own, model = head.weight, None
    try:
        model = load_trained(base, folder)
        yield model
    finally:
        if model is not None:
            model.unload()
        head.weight = own
        # PEFT before 0.19 leaves its settings on the model, and would take the next adapter for a second one.
        if hasattr(base, "peft_config"):
            del base.peft_config


def best_result(results: Sequence[Result], by: str) -> Result | None:
    """Return the best checkpoint by a measure, the earlier one of equals; None where nothing was measured."""
    sign = 1.0 if by in _LOWER_IS_BETTER else -1.0
    ranked = []
    for number, result in enumerate(results):
        value = result.measures()[by]
        if result.checkpoint is not None and value is not None and math.isfinite(value):
            ranked.append((sign * value, result.checkpoint.step, number))
    return results[min(ranked)[2]] if ranked else None
