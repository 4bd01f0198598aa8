"""Answers of a model to prompts: the likeliest token each time, many prompts at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["generate_answers"]


def generate_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    end_id: int,
    pad_id: int,
    device: torch.device,
    *,
    max_new_tokens: int = 128,
    batch_rows: int = 16,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """Return the ids of each answer without the end of the turn, in the order of the prompts.

    Greedy and nothing else: sampling and penalties of the model's own settings are left out. Prompts of like length
    share a batch, padded on the left behind a mask, so a row answers as it would alone but for rounding.
    """
    import torch
    from transformers import GenerationConfig

    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=end_id,
        pad_token_id=pad_id,
        use_cache=True,
    )
    # Adapters sit inside the layers of the model below, which generates without PEFT's own settings.
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        width = max(len(prompts[row]) for row in rows)
        ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, width - len(prompts[row]) :] = torch.tensor(prompts[row])
            mask[place, width - len(prompts[row]) :] = 1
        with torch.inference_mode(), _only(settings, inner):
            made = inner.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=settings)
        for row, answer in zip(rows, made[:, width:].tolist(), strict=True):
            answers[row] = answer[: answer.index(end_id)] if end_id in answer else answer
        if on_progress:
            on_progress(start + len(rows), len(prompts))
    return answers


@contextmanager
def _only(settings: Any, model: Any) -> Iterator[None]:
    """Let the model generate by `settings` alone: its own would fill in whatever they leave open."""
    own, model.generation_config = model.generation_config, settings
    try:
        yield
    finally:
        model.generation_config = own
