"""The simulation behind docs/SCALE.md agrees with what can be computed by hand, and with itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity import RESULTS, Gpu, Load, engines, simulate, users_a_gpu

GPU = Gpu("test", chats=8, idle_seconds=0.02, share_seconds=0.001, prefill_tokens_per_second=20_000)
LOAD = Load(think_seconds=30.0, prompt_tokens=1_000, answer_tokens=50, first_token_seconds=1.0)


def test_few_users_are_answered_at_the_rate_at_which_they_think() -> None:
    outcome = simulate(GPU, 2, LOAD, 20_000, seed=1)
    answer = 0.05 + 50 * 0.021
    assert outcome.answers_per_second == pytest.approx(2 / (30.0 + answer), rel=0.1)
    # Alone, the first token comes after the prompt, or a step later where another answer is under way.
    assert outcome.first_p50 == pytest.approx(0.05, abs=0.03)
    assert outcome.busy == pytest.approx(outcome.answers_per_second * answer, rel=0.2)


def test_many_users_take_all_places_and_no_more_than_the_gpu_gives() -> None:
    outcome = simulate(GPU, 500, LOAD, 2_000, seed=1)
    most = 1.0 / (0.05 + 50 / GPU.most_tokens_per_second)
    assert outcome.answers_per_second == pytest.approx(most, rel=0.1)
    assert outcome.busy > 0.99
    assert outcome.first_p95 > 10


def test_the_same_seed_gives_the_same_figures_and_more_patience_more_users() -> None:
    assert simulate(GPU, 20, LOAD, 500, seed=3) == simulate(GPU, 20, LOAD, 500, seed=3)
    hasty, patient = (users_a_gpu(GPU, replace(LOAD, first_token_seconds=wait), 500, 1) for wait in (0.5, 5.0))
    assert 1 < hasty < patient
    assert simulate(GPU, hasty, replace(LOAD, first_token_seconds=0.5), 500, 1).first_p95 <= 0.5


def test_the_line_goes_through_the_measured_rows() -> None:
    service = json.loads((RESULTS / "service.json").read_text(encoding="utf-8"))
    rates = [row["tokens_per_second"] for row in service["gpu"]["rows"]]
    for engine, alone, batch in zip(engines(service), rates[::2], rates[1::2], strict=False):
        assert replace(engine, chats=1).most_tokens_per_second == pytest.approx(alone)
        assert engine.most_tokens_per_second == pytest.approx(batch)


def test_the_table_of_the_plan_is_the_recorded_one() -> None:
    rows = json.loads((RESULTS / "capacity.json").read_text(encoding="utf-8"))["rows"]
    text = (Path(__file__).parent.parent / "docs" / "SCALE.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\| [\d,]+ \| (?:ours|transformers)", line)]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        cells = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")]
        assert cells[0] == str(row["users"])
        assert cells[2:5] == [str(row["gpus"]), f"{row['first_p95']:.1f}", f"{row['whole_p95']:.0f}"]
        assert cells[-1] == f"{row['cost_per_1000_answers']:.2f}"
