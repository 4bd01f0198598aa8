"""The generator as a reader: against transformers, rounded against not, what is kept of it, and the two readers in turn."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from train_models import take_steps

from rag_core import ModelLoadError, RagConfig, RagPipeline
from rag_core.answers import readingmodels
from rag_core.answers.abstaining import _doubt
from rag_core.answers.cascade import CascadeReader, _weighed
from rag_core.answers.doubts import Doubts
from rag_core.answers.planning import Planner
from rag_core.answers.questions import analyse
from rag_core.answers.reader import Marked, ReadSpan, SpanReader
from rag_core.answers.readingmodels import ReadingModel, generator_model, pair_tokenizer
from rag_core.encoder import bidirectional
from rag_core.encoder.bidirectional import MATRICES, bidirectional_encoder
from rag_core.encoder.changes import unpacked
from rag_core.encoder.packed import multiplies_bytes
from train.errors import BaseModelError, CheckpointError
from train.reader.evaluate import main as evaluate
from train.reader.examples import ReadingExample
from train.reader.formulas import load_calculations
from train.reader.generator import build_generator, generator_folder, load_generator, save_generator
from train.reader.network import reading_loss, scores_of
from train.reader.pairs import batch_of, encode_pairs
from train.reader.paragraphs import load_paragraphs
from train.reader.planning import calculation_example, planned
from train.reader.train import Recipe, train_reader

CPU = torch.device("cpu")
CACHE = RagConfig().cache_directory
bytes_only = pytest.mark.skipif(not multiplies_bytes(), reason="this processor does not multiply bytes")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with the real tokenizer, six heads that share two."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=192, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
                intermediate_size=384, vocab_size=49_152, tie_word_embeddings=True, initializer_range=0.1,
            )
        )  # fmt: skip
    model.save_pretrained(str(folder))
    shutil.copy(generator_folder() / "tokenizer.json", folder)
    return folder


def learnt(folder: Path, seed: int = 1) -> torch.nn.ModuleDict:
    """Return the network with adapters that are not zero."""
    torch.manual_seed(seed)
    network = build_generator(folder, CPU, 64).eval()
    with torch.no_grad():
        encoder: Any = network["encoder"]
        for up in encoder.up:
            up.normal_(std=0.02)
    return network


def as_kept(network: Any, path: Path) -> None:
    """Give the adapters the numbers that are left of them in the file."""
    from safetensors.torch import load_file

    kept, encoder = unpacked(load_file(str(path))), network["encoder"]
    names = [f"model.layers.{layer}.{name}" for layer in range(encoder.settings.layers) for name in MATRICES]
    with torch.no_grad():
        for name, down, up in zip(names, encoder.down, encoder.up, strict=True):
            assert float((kept[f"{name}.down"] - down).norm() / down.norm()) < 0.15
            down.copy_(kept[f"{name}.down"])
            up.copy_(kept[f"{name}.up"].T)


def states_of(network: Any, ids: Sequence[int]) -> np.ndarray:
    with torch.no_grad():
        row = torch.tensor([list(ids)])
        found: np.ndarray = network["encoder"](row, torch.ones_like(row)).last_hidden_state[0].numpy()
    return found


def test_before_it_learns_it_is_its_base_seeing_both_ways(tiny: Path) -> None:
    from transformers import LlamaModel

    base = LlamaModel.from_pretrained(str(tiny), attn_implementation="eager", dtype=torch.float32).eval()
    ids = torch.tensor([[5, 900, 17, 40_000, 3, 77]])
    with torch.no_grad():
        wanted = base(ids, attention_mask=torch.zeros(1, 1, 6, 6)).last_hidden_state[0].numpy()
    found = states_of(build_generator(tiny, CPU, 64), ids[0].tolist())
    assert np.abs(found - wanted).max() < 1e-4


def test_padding_is_seen_by_none(tiny: Path) -> None:
    network = learnt(tiny)
    ids = torch.tensor([[5, 900, 17, 40, 0, 0, 0]])
    with torch.no_grad():
        padded = network["encoder"](ids, (ids > 0).long()).last_hidden_state[0, :4].numpy()
    assert np.abs(padded - states_of(network, [5, 900, 17, 40])).max() < 1e-5


@bytes_only
def test_rounded_to_bytes_it_reads_the_same(tiny: Path, tmp_path: Path) -> None:
    network, draw = learnt(tiny), np.random.default_rng(3)
    save_generator(network, tiny, tmp_path / "change.safetensors")
    as_kept(network, tmp_path / "change.safetensors")
    found = bidirectional_encoder(tiny, tmp_path / "change.safetensors", tmp_path)
    assert found is not None
    encoder, heads = found
    for name, (weight, bias) in heads.items():
        assert np.array_equal(weight, network[name].weight.detach().numpy())
        assert np.array_equal(bias, network[name].bias.detach().numpy())
    texts = [draw.integers(3, 49_000, size).tolist() for size in (1, 7, 300, 33, 130, 2)]
    for ids, states in zip(texts, encoder.states([(ids, 0) for ids in texts]), strict=True):
        wanted = states_of(network, ids)
        near = (states * wanted).sum(1) / np.linalg.norm(states, axis=1) / np.linalg.norm(wanted, axis=1)
        assert states.shape == wanted.shape
        assert near.min() > 0.99
    assert encoder.states([]) == []


@bytes_only
def test_ids_that_it_does_not_know_are_refused(tiny: Path, tmp_path: Path) -> None:
    save_generator(learnt(tiny), tiny, tmp_path / "change.safetensors")
    found = bidirectional_encoder(tiny, tmp_path / "change.safetensors", tmp_path)
    assert found is not None
    with pytest.raises(ValueError, match="vocabulary"):
        found[0].states([([50_000], 0)])
    with pytest.raises(ValueError, match="tokens"):
        found[0].states([([5] * 1_025, 0)])


@bytes_only
def test_the_rounded_layers_are_kept_and_made_anew_where_they_are_damaged(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, cache = tmp_path / "change.safetensors", tmp_path / "cache"
    save_generator(learnt(tiny), tiny, change)
    first = bidirectional_encoder(tiny, change, cache)
    [kept] = cache.glob("reading-*")
    for name, age in (("reading-old.safetensors", 40), ("reading-new.safetensors", 3)):
        (cache / name).write_bytes(b"")
        os.utime(cache / name, (time.time() - age * 86_400,) * 2)
    assert not list(cache.glob(".reading-*"))
    made: list[Path] = []
    merged = bidirectional._merged
    monkeypatch.setattr(bidirectional, "_merged", lambda *args: made.append(args[0]) or merged(*args))
    second = bidirectional_encoder(tiny, change, cache)
    assert first is not None
    assert second is not None
    assert not made
    pairs = [([5, 6, 7], 0)]
    assert np.array_equal(first[0].states(pairs)[0], second[0].states(pairs)[0])
    kept.write_bytes(kept.read_bytes()[:1_000])
    third = bidirectional_encoder(tiny, change, cache)
    assert third is not None
    assert len(made) == 1
    assert {path.name for path in cache.glob("reading-*")} == {kept.name, "reading-new.safetensors"}
    assert np.array_equal(first[0].states(pairs)[0], third[0].states(pairs)[0])


@bytes_only
def test_where_nothing_can_be_kept_it_reads_all_the_same(tiny: Path, tmp_path: Path) -> None:
    change, cache = tmp_path / "change.safetensors", tmp_path / "cache"
    save_generator(learnt(tiny), tiny, change)
    cache.write_text("a file where the folder should be")
    assert bidirectional_encoder(tiny, change, cache) is not None


@bytes_only
def test_a_change_of_another_base_is_not_read(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_generator(learnt(tiny), tiny, tmp_path / "change.safetensors")
    other = tmp_path / "other.safetensors"
    save_file(load_file(str(tmp_path / "change.safetensors")), str(other), metadata={"base": "0" * 16})
    assert bidirectional_encoder(tiny, other, tmp_path) is None


def test_without_products_of_bytes_there_is_none(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_generator(learnt(tiny), tiny, tmp_path / "change.safetensors")
    monkeypatch.setattr(bidirectional, "multiplies_bytes", lambda: False)
    assert bidirectional_encoder(tiny, tmp_path / "change.safetensors", tmp_path) is None


@bytes_only
def test_a_tiny_one_learns_spans_and_reads_them_once_saved(tiny: Path, tmp_path: Path) -> None:
    text = "The bridge at Ferrin was opened on 4 May 1931 by Olga Brandt and cost 312 crowns."
    asked = {"Who opened it?": "Olga Brandt", "What did it cost?": "312 crowns", "Who painted it?": ""}
    tokenizer = pair_tokenizer(tiny)
    examples = [ReadingExample(question, (text,), answer) for question, answer in asked.items()]
    batch = batch_of(encode_pairs(examples, tokenizer, random.Random(0), 512), CPU)
    torch.manual_seed(0)
    network = build_generator(tiny, CPU, 64)
    before = float(reading_loss(scores_of(network, batch), batch).detach())
    assert take_steps(network, batch, 5e-3, 300) < 0.2 < before
    save_generator(network.eval(), tiny, tmp_path / "change.safetensors")
    found = bidirectional_encoder(tiny, tmp_path / "change.safetensors", tmp_path)
    assert found is not None
    model = ReadingModel(found[0], tokenizer, *found[1]["head"], 512)
    reader = SpanReader(lambda: model, "tiny")
    for question, answer in asked.items():
        [span] = reader.read(question, [text])
        assert (span.margin > 0) == bool(answer)
        assert not answer or text[span.start : span.end] == answer


@bytes_only
def test_a_tiny_one_learns_to_plan_and_plans_once_saved(tiny: Path, tmp_path: Path) -> None:
    text = "The bridge at Ferrin cost 312 crowns, of which 87 were lent; the mill cost 540."
    asked = {
        "What was not lent?": "= [312] - [87]",
        "What did both cost?": "= [312] + [540]",
        "What part was lent?": "= [87] / [312] %",
        "What did the mill cost?": "540",
        "What did the weir cost?": "-",
    }
    (tmp_path / "one.txt").write_text(
        text + "".join(f"\nQ {question} | {answer}" for question, answer in asked.items()), encoding="utf-8"
    )
    calculations, tokenizer = load_calculations(tmp_path), pair_tokenizer(tiny)
    examples = [calculation_example(each, [text], random.Random(0)) for each in calculations]
    batch = batch_of(encode_pairs(examples, tokenizer, random.Random(0), 512), CPU)
    torch.manual_seed(0)
    network = build_generator(tiny, CPU, 64)
    assert take_steps(network, batch, 5e-3, 300) < 0.3
    save_generator(network.eval(), tiny, tmp_path / "change.safetensors")
    found = bidirectional_encoder(tiny, tmp_path / "change.safetensors", tmp_path)
    assert found is not None
    planner = Planner(*found[1]["shapes"], *found[1]["roles"])
    model = ReadingModel(found[0], tokenizer, *found[1]["head"], 512, planner)
    for each in calculations:
        [marked] = SpanReader(lambda: model, "tiny").mark(each.question, [text], 1)
        assert marked.plan is not None
        assert (marked.plan.needed > 0.5) == (each.formula is not None)
        if each.formula is not None:
            shape, roles = planned(each.formula)
            assert marked.plan.shape == shape
            assert marked.plan.probability > 0.5
            told = [text[start:end] for role in marked.plan.figures for start, end in role]
            assert sorted(told) == sorted(each.formula.operands[name] for _, name in roles)


def test_the_recipe_trains_the_generator(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Recipe(epochs=2, rows=8, reports=4, gaps=False, rank=64, tokens=512)
    seen: list[torch.Tensor] = []
    network = train_reader(
        load_paragraphs()[:3],
        load_calculations()[:4],
        recipe,
        tiny,
        lambda it: seen.append(it["head"].weight.detach().clone()),
    )
    assert len(seen) == 2
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], network["head"].weight)
    encoder: Any = network["encoder"]
    assert all(bool(up.any()) for up in encoder.up)
    assert not network.training
    told = capsys.readouterr().err
    first, second = (float(line.split("loss ")[1].split(",")[0]) for line in told.splitlines() if "loss" in line)
    assert second < first


def test_training_goes_on_from_what_was_learnt(tiny: Path, tmp_path: Path) -> None:
    first, path = learnt(tiny), tmp_path / "change.safetensors"
    save_generator(first, tiny, path)
    as_kept(first, path)
    second = build_generator(tiny, CPU, 64)
    load_generator(second, tiny, path)
    assert np.abs(states_of(second, [5, 900, 17, 40]) - states_of(first, [5, 900, 17, 40])).max() < 1e-5
    assert torch.equal(second["head"].weight, first["head"].weight)
    recipe = Recipe(epochs=1, rate=1e-6, rows=8, reports=4, gaps=False, rank=64, tokens=512)
    gone_on = train_reader(load_paragraphs()[:3], [], recipe, tiny, start=path)
    assert float((gone_on["head"].weight - first["head"].weight).abs().max().detach()) < 1e-3
    with pytest.raises(CheckpointError, match="same rank"):
        load_generator(build_generator(tiny, CPU, 128), tiny, path)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BaseModelError, match="Llama-type"):
        build_generator(tmp_path, CPU, 64)


class Quick(SpanReader):
    """Gives each text the margin that it begins with."""

    def mark(self, question: str, texts: Sequence[str], count: int) -> list[Marked]:
        return [Marked([ReadSpan(0, 1, float(text.split()[0]))]) for text in texts]

    def load(self) -> None:
        pass


class Letters:
    """An encoder whose states mark the passage's first token as the answer."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def states(self, pairs: Sequence[tuple[Sequence[int], int]], /) -> list[np.ndarray]:
        self.read += [list(ids) for ids, _ in pairs]
        found = [np.zeros((len(ids), 2), dtype=np.float32) for ids, _ in pairs]
        for states, (_, second) in zip(found, pairs, strict=True):
            states[second] = 5.0
        return found


def close_model(encoder: Letters) -> ReadingModel:
    eye = np.eye(2, dtype=np.float32)
    return ReadingModel(encoder, pair_tokenizer(generator_folder()), eye, np.zeros(2, np.float32), 512)


def test_the_likeliest_texts_are_read_again() -> None:
    encoder = Letters()
    reader = CascadeReader(Quick(), lambda: close_model(encoder))
    found = [each.spans for each in reader.mark("Who?", ["1 a", "-9 b", "3 c", "2 d"], 1)]
    assert [len(spans) for spans in found] == [0, 0, 1, 1]
    assert reader.closely
    # The span is another one than the quick reader's, which each reader holds for as likely as its least likely.
    assert found[2][0].margin == pytest.approx((10.0 + 0.2 * 3.0) / 1.2)
    assert found[2][0].both == (10.0, 3.0)
    assert len(encoder.read) == 2


def test_texts_far_behind_and_texts_alone() -> None:
    encoder = Letters()
    reader = CascadeReader(Quick(), lambda: close_model(encoder))
    assert [len(each.spans) for each in reader.mark("Who?", ["6 a", "-9 b"], 1)] == [1, 0]
    assert [len(each.spans) for each in reader.mark("Who?", ["-9 b"], 1)] == [1]
    assert reader.mark("Who?", [], 1) == []
    assert len(encoder.read) == 2


def test_without_the_better_reader_the_quick_one_is_heard() -> None:
    asked: list[int] = []
    reader = CascadeReader(Quick(), lambda: asked.append(1))
    assert [each.spans[0].margin for each in reader.mark("Who?", ["6 a", "-9 b", "1 c"], 1)] == [6.0, -9.0, 1.0]
    assert not reader.closely
    reader.mark("Who?", ["6 a"], 1)
    assert asked == [1]


def test_a_better_reader_that_does_not_load_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> ReadingModel:
        raise ModelLoadError("The close reader does not load; set RAG_CLOSE_READER=false")

    reader = CascadeReader(Quick(), fail)
    for _ in range(2):
        assert reader.mark("Who?", ["6 a"], 1)[0].spans[0].margin == 6.0
    assert [record.message for record in caplog.records] == [
        "Passages are read by the quick reader alone: The close reader does not load; set RAG_CLOSE_READER=false"
    ]


@pytest.mark.parametrize(
    ("margin", "other", "held"),
    [(8.0, 7.0, False), (8.0, 0.5, False), (8.0, -0.5, True), (5.0, 8.0, True), (8.0, None, True)],
)
@pytest.mark.parametrize("doubts", [Doubts(kind=5.0), Doubts(qualified="Deputy chair"), Doubts(role="the chair")])
def test_no_doubt_counts_against_two_readers_that_are_sure(
    margin: float, other: float | None, held: bool, doubts: Doubts
) -> None:
    asked = analyse("How many gilts were sold?")
    both = None if other is None else (margin, other)
    reading: Any = SimpleNamespace(margin=margin, both=both, doubts=doubts)
    assert bool(_doubt(asked, reading)) == held


def test_a_quick_reader_that_fails_is_told_of_each_time() -> None:
    class Absent(Quick):
        def load(self) -> None:
            raise ModelLoadError("MiniLM is not installed")

    made: list[int] = []
    reader = CascadeReader(Absent(), lambda: made.append(1))
    for _ in range(2):
        with pytest.raises(ModelLoadError, match="MiniLM"):
            reader.load()
    assert not made


def test_without_memory_to_read_again_the_quick_reader_is_heard() -> None:
    class Full(Letters):
        def states(self, pairs: Sequence[tuple[Sequence[int], int]], /) -> list[np.ndarray]:
            raise MemoryError

    reader = CascadeReader(Quick(), lambda: close_model(Full()))
    [span] = reader.mark("Who?", ["6 a"], 1)[0].spans
    assert (span.margin, span.both) == (6.0, None)


def test_what_both_readers_mark_is_weighed_by_both() -> None:
    close = [ReadSpan(0, 10, 4.0), ReadSpan(20, 30, 3.0)]
    quick = [ReadSpan(21, 30, 9.0), ReadSpan(1, 10, -3.0), ReadSpan(40, 50, -5.0)]
    found = _weighed(close, quick)
    assert [(span.start, span.margin) for span in found] == [
        (20, pytest.approx((3.0 + 1.8) / 1.2)), (0, pytest.approx((4.0 - 0.6) / 1.2)), (40, pytest.approx((3.0 - 1.0) / 1.2)),
    ]  # fmt: skip
    assert {span.both for span in found} == {(4.0, 9.0)}
    assert _weighed([], quick) == []


def test_what_is_counted_is_told_apart() -> None:
    model = generator_model(CACHE)
    if model is None:
        pytest.skip("this processor does not multiply bytes")
    reader = CascadeReader(SpanReader(), lambda: model)
    text = "Its newest gauge is read in 40 ports on five coasts, and Hanne Reck, who leads sales, expects more by 2027."
    for question, answer in (
        ("On how many coasts is the gauge read?", "five"),
        ("In how many ports is it read?", "40"),
    ):
        span, *_ = reader.mark(question, [text], 2)[0].spans
        assert text[span.start : span.end].startswith(answer)
        assert span.margin > 0
        assert span.both is not None


def test_where_the_generator_is_not_installed_there_is_no_close_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_core.models._in_package", lambda *_: None)
    assert generator_model(CACHE) is None


@bytes_only
def test_a_damaged_change_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "close_reader.safetensors"
    other.write_bytes(b"no tensors")
    monkeypatch.setattr(readingmodels, "GENERATOR_FILE", other)
    with pytest.raises(ModelLoadError, match="RAG_CLOSE_READER=false"):
        generator_model(CACHE)


def test_without_products_of_bytes_nothing_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readingmodels, "multiplies_bytes", lambda: False)
    monkeypatch.setattr(readingmodels, "converted", lambda *_: pytest.fail("converted in vain"))
    assert generator_model(CACHE) is None


@pytest.mark.parametrize("close", [True, False])
def test_a_pipeline_answers_with_either(close: bool, tmp_path: Path) -> None:
    config = RagConfig.from_env({"RAG_CLOSE_READER": str(close).lower()}).with_setting("index.directory", None)
    path = tmp_path / "bridge.txt"
    path.write_text("The bridge at Ferrin was opened on 4 May 1931 by the minister Olga Brandt. It cost 312 crowns.")
    with RagPipeline(config) as rag:
        rag.add_document(path)
        assert "Olga Brandt" in rag.ask("Who opened the bridge at Ferrin?").text
        answering: Any = rag._answering
        assert getattr(answering, "closely", False) == (close and multiplies_bytes())


@bytes_only
def test_it_reads_better_than_the_quick_one_on_our_paragraphs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every sixth question of the reading set, which neither was trained on."""
    lines = (Path(__file__).parents[1] / "bench" / "data" / "reading.jsonl").read_text().splitlines()[::6]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    scores = []
    for more in ([], ["--close"]):
        assert evaluate([str(tmp_path / "some.jsonl"), *more]) == 0
        scores.append(json.loads(capsys.readouterr().out))
    quick, close = scores
    assert close["f1"] > quick["f1"] > 0.8
    assert close["auc"] > 0.95
