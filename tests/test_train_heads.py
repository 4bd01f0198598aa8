"""The head beside the adapters: untied, saved, read back; old pickles read without running them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from train.errors import BaseModelError, CheckpointError
from train.heads import HEAD_FILE, LEGACY_HEAD_FILE, head_of, load_head, save_head, untie

SHAPE = (32, 16)


def small_model(tied: bool) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
        )
    )


def a_head() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_saved_head_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype):
    head = a_head().to(dtype)
    save_head(tmp_path, torch.nn.Parameter(head.t().contiguous().t()))  # not contiguous, and with a gradient
    found = load_head(tmp_path, SHAPE)
    assert found is not None
    assert found.dtype == dtype
    assert torch.equal(found, head)
    assert not found.requires_grad


def test_no_head_is_none(tmp_path: Path):
    assert load_head(tmp_path, SHAPE) is None


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_head_moves_once_untied(tmp_path: Path, tied: bool):
    model = small_model(tied)
    embeddings = model.get_input_embeddings().weight
    before = embeddings.detach().clone()
    assert untie(model) is tied
    assert torch.equal(head_of(model).weight, before) is tied
    with torch.no_grad():
        head_of(model).weight.add_(1.0)
    assert torch.equal(model.get_input_embeddings().weight, before)
    assert model.config.tie_word_embeddings is False
    # What is saved holds both, and nobody who loads it ties them again.
    model.save_pretrained(str(tmp_path))
    again, outcome = LlamaForCausalLM.from_pretrained(str(tmp_path), output_loading_info=True)
    assert not outcome["missing_keys"]
    assert not outcome["unexpected_keys"]
    assert torch.equal(again.lm_head.weight, head_of(model).weight)
    assert torch.equal(again.get_input_embeddings().weight, before)


def test_a_model_without_a_linear_head_is_refused():
    from transformers import LlamaModel

    with pytest.raises(BaseModelError, match="no linear output head"):
        head_of(LlamaModel(small_model(False).config))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda head: head,
        lambda head: torch.nn.Parameter(head),
        lambda head: {"weight": head},
        lambda head: {"lm_head.weight": head},
        lambda head: {"base_model.model.lm_head.weight": head},
    ],
    ids=["tensor", "parameter", "state", "named", "in-peft"],
)
def test_an_older_pickled_head_is_read(tmp_path: Path, wrap: Any):
    torch.save(wrap(a_head()), tmp_path / LEGACY_HEAD_FILE)
    found = load_head(tmp_path, SHAPE)
    assert found is not None
    assert torch.equal(found, a_head())


def test_safetensors_win_over_a_pickle(tmp_path: Path):
    torch.save(torch.zeros(SHAPE), tmp_path / LEGACY_HEAD_FILE)
    save_head(tmp_path, a_head())
    found = load_head(tmp_path, SHAPE)
    assert found is not None
    assert torch.equal(found, a_head())


class Malicious:
    """Unpickled, it makes a folder: what a pickle from a stranger may do, in small."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path, how: str):
    mark, path = tmp_path / "ran", tmp_path / LEGACY_HEAD_FILE
    content = {"weight": a_head(), "more": Malicious(str(mark))}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(str(mark)), protocol=2))
    with pytest.raises(CheckpointError, match=LEGACY_HEAD_FILE):
        load_head(tmp_path, SHAPE)
    assert not mark.exists()
    # The trap works: plain unpickling runs it.
    torch.load(path, weights_only=False) if how == "torch" else pickle.loads(path.read_bytes())
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(16, 32), r"\(16, 32\)"),
        (torch.zeros(SHAPE, dtype=torch.int8), "int8"),
        (torch.zeros(SHAPE).index_fill_(0, torch.tensor([3]), float("nan")), "not finite"),
        (torch.full(SHAPE, float("inf")), "not finite"),
        ({"weight": torch.zeros(SHAPE), "lm_head.weight": torch.zeros(SHAPE)}, "no head"),
        ({"other": torch.zeros(SHAPE)}, "no head"),
        ([torch.zeros(SHAPE)], "no head"),
    ],
    ids=["shape", "type", "nan", "inf", "two", "none", "list"],
)
def test_what_is_no_head_of_this_base_is_refused(tmp_path: Path, content: Any, said: str):
    torch.save(content, tmp_path / LEGACY_HEAD_FILE)
    with pytest.raises(CheckpointError, match=said) as raised:
        load_head(tmp_path, SHAPE)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [HEAD_FILE, LEGACY_HEAD_FILE])
def test_a_damaged_file_is_told(tmp_path: Path, name: str):
    if name == HEAD_FILE:
        save_head(tmp_path, a_head())
    else:
        torch.save(a_head(), tmp_path / name)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=name):
        load_head(tmp_path, SHAPE)
