"""The chunked loss against torch's, and batches against rows alone: the same losses and gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from train_models import tiny_base, tiny_rows

from train.base import load_base
from train.batching import collate
from train.encoding import Encoder, Example
from train.loss import answer_loss
from train.modelling import add_adapters, trainable_line
from train.proofs.weights import mistral_config
from train.rows import Row
from train.settings import LoraSettings, MemorySettings, TrainSettings
from train.stepping import LossModel, prepare_layers

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny", tied=True)


@pytest.fixture(scope="module")
def examples(base: Path) -> list[Example]:
    encoder = Encoder(base, "tiny")
    rows = [Row(row["instruction"], row["input"], row["output"]) for row in tiny_rows(5)]
    return [encoder.encode(row) for row in rows]


def made(base: Path, memory: MemorySettings, *, dropout: float = 0.0, targets: tuple[str, ...] | None = None) -> Any:
    """A model with adapters that already say something, ready to train."""
    settings = TrainSettings(lora=replace(LoraSettings(dropout=dropout), targets=targets or LoraSettings().targets))
    model = add_adapters(load_base(base, torch.float32, CPU), settings)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    prepare_layers(model, memory)
    return LossModel(model, torch.float32, 50).train()


def gradients(model: Any, example_batch: Any) -> tuple[float, dict[str, torch.Tensor]]:
    loss, _ = model.loss_of(example_batch)
    loss.backward()
    return float(loss), {name: item.grad for name, item in model.named_parameters() if item.grad is not None}


def test_the_recipe_has_exactly_the_known_count_of_weights() -> None:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = add_adapters(AutoModelForCausalLM.from_config(mistral_config()), TrainSettings())
    assert trainable_line(model) == (
        "trainable params: 144,703,488 || all params: 7,255,363,584 || trainable%: 1.9944346871755614"
    )


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_chunks_change_neither_the_loss_nor_its_gradients(chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(65, 24, generator=generator, requires_grad=True)
    weight = torch.randn(50, 24, generator=generator, requires_grad=True)
    labels = torch.randint(0, 50, (65,), generator=generator)
    logits = hidden @ weight.t()
    expected = F.cross_entropy(logits, labels, reduction="sum")
    wanted = torch.autograd.grad(expected * 0.3, (hidden, weight))
    loss, correct = answer_loss(hidden, weight, labels, chunk)
    found = torch.autograd.grad(loss * 0.3, (hidden, weight))
    torch.testing.assert_close(loss, expected)
    assert int(correct) == int((logits.argmax(-1) == labels).sum())
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        torch.testing.assert_close(answer_loss(hidden, weight, labels, chunk)[0], expected)


def test_a_head_that_stands_still_gets_no_gradient() -> None:
    hidden, weight = torch.randn(9, 4, requires_grad=True), torch.randn(11, 4)
    loss, _ = answer_loss(hidden, weight, torch.randint(0, 11, (9,)), 4)
    loss.backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_a_batch_is_its_rows_one_at_a_time(base: Path, examples: list[Example]) -> None:
    model = made(base, MemorySettings(checkpointing=False))
    together, summed = gradients(model, collate(examples, 0, 64))
    alone = [gradients(model, collate([example], 0, 1))[0] for example in examples]
    assert len({len(example) for example in examples}) > 1
    assert together == pytest.approx(sum(alone), rel=1e-5)
    assert summed.keys() == {name for name, item in model.named_parameters() if item.requires_grad}


def test_what_fills_a_row_changes_nothing(base: Path, examples: list[Example]) -> None:
    model = made(base, MemorySettings(checkpointing=False)).eval()
    losses = {float(model.loss_of(collate(examples, pad, 64))[0].detach()) for pad in (0, 5, 999)}
    assert len(losses) == 1


def test_the_loss_is_that_of_the_plain_model_on_the_answers(base: Path, examples: list[Example]) -> None:
    model = made(base, MemorySettings(checkpointing=False)).eval()
    plain = model.model.get_base_model()
    for layer in plain.model.layers:
        del layer.forward
    expected = 0.0
    for example in examples:
        labels = torch.tensor([[-100] * example.answer_start + list(example.ids[example.answer_start :])])
        with torch.no_grad():
            out = plain(input_ids=torch.tensor([list(example.ids)]), labels=labels)
        expected += float(out.loss) * (len(example) - example.answer_start)
    assert float(model.loss_of(collate(examples, 0, 64))[0].detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "gate_proj", "down_proj")])
def test_recomputing_layers_changes_nothing_with_dropout_too(
    base: Path, examples: list[Example], targets: tuple[str, ...]
) -> None:
    found = []
    for memory in (MemorySettings(checkpointing=False), MemorySettings(), MemorySettings(kept_layers=1)):
        model = made(base, memory, dropout=0.2, targets=targets)
        torch.manual_seed(3)
        found.append(gradients(model, collate(examples, 0, 64)))
    for loss, grads in found[1:]:
        assert loss == found[0][0]
        for name, grad in grads.items():
            assert torch.equal(grad, found[0][1][name])


def test_compiled_layers_learn_the_same(base: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiler's front end, which is where a layer that cannot be captured fails; the back end is torch's own."""
    import torch._dynamo

    from train import stepping

    plain = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run: plain(run, backend="aot_eager", fullgraph=True))
    monkeypatch.setattr(stepping._Layer, "_compiled", {})
    torch._dynamo.reset()
    expected = gradients(made(base, MemorySettings()), collate(examples, 0, 64))
    model = made(base, MemorySettings(compile=True))
    loss, grads = gradients(model, collate(examples, 0, 64))
    assert loss == pytest.approx(expected[0], rel=1e-6)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[1][name])
