"""The ablation changes what is there: a row that names nothing would fail, or measure the same twice."""

from __future__ import annotations

from pkgutil import resolve_name
from unittest.mock import patch

import pytest

from bench.ablation import ROWS, TRIED

NAMES = sorted({name for change in [*ROWS.values(), *TRIED.values()] for name in change})


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_of_a_row_is_there(name: str) -> None:
    module, _, setting = name.rpartition(".")
    assert hasattr(resolve_name(module), setting), f"{name} is gone: mend the row or drop it"


def test_every_row_but_the_named_ones_changes_a_setting() -> None:
    for row, change in {**ROWS, **TRIED}.items():
        for name, value in change.items():
            module, _, setting = name.rpartition(".")
            assert getattr(resolve_name(module), setting) != value, f"{row}: {name} is that already"
            with patch(name, value):
                assert getattr(resolve_name(module), setting) == value
