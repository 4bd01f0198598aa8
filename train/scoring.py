"""How good a model is on held-out rows: loss and accuracy by token, and answers against expected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag_core.evaluation.figures import numeric_match
from rag_core.evaluation.scoring import exact_match, token_f1
from train.batching import collate, token_batches
from train.encoding import Example
from train.errors import DataError
from train.settings import BatchSettings

if TYPE_CHECKING:
    import torch

__all__ = ["AnswerScores", "TokenScores", "score_answers", "score_examples"]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """`loss` in nats per answer token, `token_accuracy` in [0, 1]: the share of answer tokens that are the likeliest."""

    loss: float
    token_accuracy: float
    tokens: int
    rows: int


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Means over answers in [0, 1]; `numeric` over the `numeric_rows` whose expected answer has figures, else None."""

    f1: float
    exact: float
    numeric: float | None
    numeric_rows: int
    rows: int


def score_examples(
    model: Any,
    examples: Sequence[Example],
    pad_id: int,
    device: torch.device,
    batch: BatchSettings | None = None,
    *,
    chunk_tokens: int = 1024,
    on_progress: Callable[[int, int], None] | None = None,
) -> TokenScores:
    """Return the scores of `model` (plain or with adapters) on the answers of `examples`.

    Rows are padded on the right without a mask: attention is causal, so no state sees what comes after it, and each row
    scores as it would alone. `on_progress` hears of rows done and of all. Raises DataError where there are no answers.
    """
    import torch

    from train.heads import head_of
    from train.stepping import LossModel

    settings = batch or BatchSettings()
    lengths = [len(example) for example in examples]
    order = sorted(range(len(examples)), key=lambda row: -lengths[row])
    scored = LossModel(model, head_of(model).weight.dtype, chunk_tokens).eval()
    loss, correct, tokens, done = 0.0, 0, 0, 0
    with torch.inference_mode():
        for rows in token_batches(lengths, settings, order):
            collated = collate([examples[row] for row in rows], pad_id, settings.pad_multiple).to(device)
            summed, right = scored.loss_of(collated)
            loss, correct, tokens = loss + float(summed), correct + int(right), tokens + len(collated.labels)
            done += len(rows)
            if on_progress:
                on_progress(done, len(examples))
    if not tokens:
        raise DataError("The held-out rows have no answer tokens to score; raise data.max_tokens or take other rows")
    return TokenScores(loss / tokens, correct / tokens, tokens, len(examples))


def score_answers(predicted: Sequence[str], expected: Sequence[str]) -> AnswerScores:
    """Return the mean scores of answers, row by row against the expected ones; at least one row."""
    pairs = list(zip(predicted, expected, strict=True))
    figures = [match for match in (numeric_match(*pair) for pair in pairs) if match is not None]
    return AnswerScores(
        f1=sum(token_f1(*pair) for pair in pairs) / len(pairs),
        exact=sum(exact_match(*pair) for pair in pairs) / len(pairs),
        numeric=sum(figures) / len(figures) if figures else None,
        numeric_rows=len(figures),
        rows=len(pairs),
    )
