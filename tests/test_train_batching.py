"""Which rows go together: every row once an epoch, within the budget, the same again from the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.batching import Plan, collate, padded_length, token_batches
from train.encoding import Example
from train.errors import SettingsError
from train.settings import BatchSettings, OptimSettings

LENGTHS = st.lists(st.integers(2, 200), min_size=1, max_size=120)


@given(LENGTHS, st.integers(200, 2_000), st.integers(0, 9), st.sampled_from([1, 8, 64]))
def test_every_row_is_in_one_batch_and_no_batch_is_over_the_budget(
    lengths: list[int], tokens: int, rows: int, multiple: int
) -> None:
    settings = BatchSettings(tokens=max(tokens, 256), rows=rows, pad_multiple=multiple)
    batches = token_batches(lengths, settings, range(len(lengths)))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        width = padded_length(max(lengths[row] for row in batch), multiple)
        assert width * len(batch) <= settings.tokens
        assert not rows or len(batch) <= rows


@given(LENGTHS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_an_epoch_holds_every_row_and_all_devices_take_every_step(
    lengths: list[int], world: int, accumulation: int, seed: int
) -> None:
    batch, optim = BatchSettings(tokens=256, accumulation=accumulation), OptimSettings(epochs=2)
    plan = Plan(tuple(lengths), batch, optim, seed, world)
    steps = range(len(plan.epoch(0)))
    seen = Counter(row for step in steps for rank in range(world) for part in plan.step(step, rank) for row in part)
    assert set(seen) == set(range(len(lengths)))
    # Only to give every device as many batches do some come twice.
    assert sum(count - 1 for count in seen.values()) <= world * max(map(len, plan.epoch(0)[0]))
    for step in steps:
        assert len({len(plan.step(step, rank)) for rank in range(world)}) == 1
    assert plan.total_steps == len(plan.epoch(0)) + len(plan.epoch(1))


def test_epochs_differ_and_the_same_seed_gives_the_same() -> None:
    lengths = tuple(range(2, 120))
    plans = [Plan(lengths, BatchSettings(tokens=256), OptimSettings(epochs=3), seed) for seed in (0, 0, 1)]
    assert plans[0].epoch(0) == plans[1].epoch(0)
    assert plans[0].epoch(0) != plans[0].epoch(1)
    assert plans[0].epoch(0) != plans[2].epoch(0)
    late = len(plans[0].epoch(0)) + 1
    assert plans[0].step(late) == plans[0].epoch(1)[1]


def test_parts_of_epochs_and_a_number_of_steps() -> None:
    lengths = (100,) * 80
    batch = BatchSettings(tokens=256, pad_multiple=1)
    assert Plan(lengths, batch, OptimSettings(epochs=1), 0).total_steps == 40
    assert Plan(lengths, batch, OptimSettings(epochs=0.25), 0).total_steps == 10
    assert Plan(lengths, batch, OptimSettings(epochs=1.5), 0).total_steps == 60
    assert Plan(lengths, batch, OptimSettings(max_steps=7), 0).total_steps == 7


def test_rows_of_like_length_share_a_batch() -> None:
    lengths = [16, 128] * 64
    batches = token_batches(lengths, BatchSettings(tokens=512, pad_multiple=8), range(len(lengths)))
    padded = sum(max(lengths[row] for row in batch) * len(batch) for batch in batches)
    assert padded <= 1.1 * sum(lengths)


def test_a_row_that_no_batch_takes_is_told() -> None:
    with pytest.raises(SettingsError, match=r"batch\.tokens 256"):
        Plan((300,), BatchSettings(tokens=256), OptimSettings(), 0)


def test_each_answer_token_is_predicted_from_the_token_before_it() -> None:
    examples = [Example((5, 6, 7, 8), 2), Example((9, 10, 11), 1)]
    batch = collate(examples, 0, 4)
    assert batch.ids.tolist() == [[5, 6, 7, 8], [9, 10, 11, 0]]
    assert batch.labels.tolist() == [7, 8, 10, 11]
    flat = batch.ids.flatten()
    assert flat[batch.positions].tolist() == [6, 7, 9, 10]
