"""Fine-tuning of the sentence encoder: what pairs promise, and a tiny encoder that learns a handful of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import write_tiny_encoder

from rag_core.config import RagConfig
from rag_core.encoder.bert import BertEncoder, BertSettings
from rag_core.encoder.changes import unpacked
from rag_core.encoder.embedding import create_embedder
from rag_core.errors import ModelLoadError, ModelNotFoundError
from train.embedder.batching import batches, encode_pairs, hard_negatives
from train.embedder.build import build_pairs
from train.embedder.build import main as build
from train.embedder.evaluate import figures_of, read_corpus, scores
from train.embedder.evaluate import main as evaluate
from train.embedder.grouping import joined_groups
from train.embedder.network import (
    MAX_TOKENS,
    contrastive_loss,
    encode_rows,
    load_encoder,
    open_tokenizer,
    token_ids,
)
from train.embedder.pairs import Pair, read_pairs, write_pairs
from train.embedder.sources import cleaned, finance_share, paragraph_pairs, row_pairs
from train.embedder.train import Recipe, save_change, train_embedder
from train.errors import BaseModelError, DataError, SettingsError
from train.reader.network import base_encoder
from train.reader.paragraphs import Paragraph, Question, load_paragraphs
from train.rows import Row

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return open_tokenizer(None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    built = build_pairs(Path("train/reader/paragraphs"), [], 0.3)
    firsts = {pair.group: pair for pair in built}
    return list(firsts.values())[:24]


# Pairs -----------------------------------------------------------------------------------------------------------------


def test_only_answered_questions_become_pairs_and_some_passages_stand_under_titles() -> None:
    questions = (Question("What rose by a tenth?", "Sales"), Question("Who left the board?", ""))
    paragraphs = [Paragraph("reports", f"Sales of firm {n} rose by a tenth.\nPaint | 41", questions) for n in range(60)]
    found = paragraph_pairs(paragraphs, random.Random(0), 0.5)
    assert {pair.query for pair in found} == {"What rose by a tenth?"}
    assert len({pair.group for pair in found}) == 60
    headed = [pair for pair in found if not pair.passage.startswith("Sales")]
    assert 15 < len(headed) < 45
    assert all("Sales of firm" in pair.passage.split("\n", 1)[1] for pair in headed)
    assert all("|" not in pair.passage for pair in found)


def test_rows_are_paired_with_what_they_are_about_and_general_ones_are_left_out() -> None:
    about = (
        "Total revenue rose to $4.2 million in the fiscal year, mostly from interest income on bank loans and deposits."
    )
    advice = (
        "A bond fund spreads risk over many issuers, so that a single default costs an investor only a small share."
    )
    rows = [
        Row("How high was revenue in the year?", about, "$4.2 million"),
        Row("Why would I hold a bond fund?", "", advice),
        Row(
            "Give me three tips to stay healthy.",
            "",
            "Eat fruit, sleep well and walk every day, whatever the weather is like.",
        ),
        Row("Revenue?", about, "$4.2 million"),
        Row("why would i hold a bond fund?", "", advice.replace("A bond", "Any bond")),
    ]
    found = row_pairs(rows, "rows", random.Random(0), 0.0)
    assert [(pair.query, pair.passage) for pair in found] == [(rows[0].question, about), (rows[1].question, advice)]


def test_cleaning_leaves_no_rules_and_no_addresses() -> None:
    assert cleaned("See https://a.example/b now\n\n | 2024 | 2023\n----- .....\nNet  sales | 4 | 3") == (
        "See now\n2024 2023\nNet sales 4 3"
    )
    assert finance_share("") == 0.0
    assert (
        finance_share("The company raised revenue and debt") > finance_share("The cat sat on the mat and slept") == 0.0
    )


def test_passages_that_say_nearly_the_same_are_one_group() -> None:
    text = "The company paid a dividend of 40 cents a share in June and plans to raise it next year"
    pairs = [
        Pair("What was paid?", text, "a-1"),
        Pair("When was it paid?", text + " again", "a-2"),
        Pair("Who opened the bridge?", "Olga Brandt opened the bridge.", "a-3"),
        Pair("who opened the bridge?", "The mayor did, in May 1931, before a crowd.", "a-4"),
        Pair("Which metal is lightest?", "Lithium floats on oil.", "a-5"),
    ]
    assert [pair.group for pair in joined_groups(pairs)] == ["a-1", "a-1", "a-3", "a-3", "a-5"]


def test_built_pairs_hold_the_paragraphs_and_fit_the_encoder(tmp_path: Path, tokenizer: Any) -> None:
    rows = tmp_path / "rows.jsonl"
    long = "Interest income on bank deposits rose while loan losses fell again in this quarter. " * 60
    rows.write_text(json.dumps({"instruction": "How did interest income develop?", "output": long}) + "\n")
    assert build([str(tmp_path / "pairs.jsonl"), "--rows", str(rows)]) == 0
    found = read_pairs([tmp_path / "pairs.jsonl"])
    assert len(found) > 1_500
    answered = {q.text for p in load_paragraphs() for q in p.questions if q.answer}
    assert {pair.query for pair in found} == answered | {"How did interest income develop?"}
    assert max(len(read) for read in token_ids([pair.passage for pair in found], tokenizer)) == MAX_TOKENS
    last = found[-1]
    assert len(tokenizer.encode(last.passage, add_special_tokens=False).ids) == MAX_TOKENS - 2


@pytest.mark.parametrize("row", [{"query": "a", "passage": "b"}, {"query": " ", "passage": "b", "group": "c"}])
def test_a_wrong_pair_is_named(tmp_path: Path, row: dict[str, str]) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs([Pair("q", "p", "g")], path)
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"pairs\.jsonl, row 2"):
        read_pairs([path])


# Training --------------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_definition_and_passages_of_the_group_do_not_count() -> None:
    torch.manual_seed(0)
    queries, passages = (torch.nn.functional.normalize(torch.randn(n, 8), dim=1) for n in (3, 5))
    own = torch.tensor([2, 0, 4])
    alike = torch.zeros(3, 5, dtype=torch.bool)
    alike[0, 2] = alike[0, 1] = alike[1, 0] = alike[2, 4] = True
    expected = 0.0
    for row in range(3):
        shown = [place for place in range(5) if place == own[row] or not alike[row, place]]
        weights = [float(torch.exp(20 * queries[row] @ passages[place])) for place in shown]
        expected -= np.log(weights[shown.index(int(own[row]))] / sum(weights)) / 3
    assert float(contrastive_loss(queries, passages, own, alike, 20.0)) == pytest.approx(expected, rel=1e-4)


def test_batches_hold_every_pair_once() -> None:
    for count in (3, 10, 64, 100, 129):
        found = batches(count, 32, random.Random(count))
        assert sorted(number for batch in found for number in batch) == list(range(count))
        assert all(16 <= len(batch) < 48 for batch in found) or count < 16


def test_hard_negatives_are_near_and_of_other_groups(tokenizer: Any) -> None:
    pairs = [Pair(f"q{n}", f"p{n}", f"g{n // 2}") for n in range(8)]
    encoded = encode_pairs(pairs, tokenizer)
    torch.manual_seed(1)
    queries, passages = (torch.nn.functional.normalize(torch.rand(8, 4), dim=1) for _ in range(2))
    near = queries @ passages.T
    for number, found in enumerate(hard_negatives(encoded, queries, passages)):
        wanted = [n for n in range(8) if n // 2 != number // 2 and near[number, n] <= 0.95 * near[number, number]]
        assert found == sorted(wanted, key=lambda n: -float(near[number, n]))


@pytest.mark.parametrize("recipe", [{}, {"hard": 1, "near": 0.1}, {"queries_only": True}])
def test_a_tiny_encoder_learns_its_pairs(tiny: Path, pairs: list[Pair], recipe: dict[str, Any]) -> None:
    encoded = encode_pairs(pairs, open_tokenizer(tiny))
    own = torch.tensor(encoded.own)

    def right(encoder: Any, texts: Any) -> float:
        near = encode_rows(encoder, encoded.queries) @ encode_rows(texts, encoded.passages).T
        return float((near.argmax(dim=1) == own).float().mean())

    base = load_encoder(tiny, CPU)
    trained = train_embedder(pairs, Recipe(epochs=25, rate=3e-3, rows=12, **recipe), tiny)
    texts = base if recipe.get("queries_only") else trained
    assert right(trained, texts) > right(base, base) + 0.3
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(trained.state_dict()[words], base.state_dict()[words])


def test_nearness_to_the_base_holds_the_vectors_back(tiny: Path, pairs: list[Pair]) -> None:
    rows = encode_pairs(pairs, open_tokenizer(tiny)).passages
    before = encode_rows(load_encoder(tiny, CPU), rows)
    kept = [
        float((before * encode_rows(train_embedder(pairs, Recipe(6, 1e-3, 12, near=near), tiny), rows)).sum(1).mean())
        for near in (0.0, 50.0)
    ]
    assert 1 - kept[0] > 3 * (1 - kept[1])


def test_what_is_saved_is_the_share_of_the_change(tmp_path: Path, tiny: Path, pairs: list[Pair]) -> None:
    trained = train_embedder(pairs, Recipe(rate=1e-3, rows=12, steps=3), tiny)
    base = load_encoder(tiny, CPU).state_dict()
    for mix in (1.0, 0.5):
        save_change(trained, tmp_path / "change.safetensors", tiny, mix)
        from safetensors.torch import load_file

        changes = unpacked(load_file(str(tmp_path / "change.safetensors")))
        assert not any("embeddings" in name for name in changes)
        name = "encoder.layer.1.output.dense.weight"
        wanted = mix * (trained.state_dict()[name] - base[name])
        assert float((changes[name] - wanted).norm() / wanted.norm()) < 0.15
    half = load_encoder(tiny, CPU, changes)
    whole = load_encoder(tiny, CPU, {name: 2 * change for name, change in changes.items()}, mix=0.5)
    assert all(torch.allclose(half.state_dict()[n], whole.state_dict()[n]) for n in base)


def test_a_change_of_another_encoder_is_refused(tiny: Path) -> None:
    with pytest.raises(BaseModelError, match="does not fit"):
        load_encoder(tiny, CPU, {"encoder.layer.0.output.dense.weight": torch.zeros(3, 64)})
    with pytest.raises(BaseModelError, match=r"no config\.json"):
        open_tokenizer(tiny / "nothing")


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"rows": 1}, {"mix": 0.0}, {"mix": 1.5}, {"near": -1.0}])
def test_a_wrong_recipe_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Recipe(**wrong)


def test_vectors_are_those_of_the_product() -> None:
    texts = ["What was revenue?", "Revenue rose to $4.2 million. " * 80, "a"]
    config = RagConfig().with_setting("embedding.change", "none")
    ours = encode_rows(load_encoder(base_encoder(), CPU), token_ids(texts, open_tokenizer(None))).numpy()
    served = create_embedder(config).encode(texts)
    assert (ours * served).sum(axis=1).min() > 0.998
    settings = BertSettings(6, 12, 384, 1e-12, 256, "mean")
    exact = BertEncoder(base_encoder(), settings, "cpu", reduced=False)
    np.testing.assert_allclose(ours, exact.encode(token_ids(texts, open_tokenizer(None)), 8), atol=1e-5)


def test_training_needs_no_more_than_torch_and_transformers(tmp_path: Path, tiny: Path) -> None:
    write_pairs([Pair(f"What is {n}?", f"It is the number {n}.", f"g{n}") for n in range(4)], tmp_path / "pairs.jsonl")
    absent = "chromadb langchain langchain_core langchain_text_splitters langchain_chroma bm25s numba llvmlite gradio pypdfium2"
    code = (
        f"import sys\nfor name in {absent!r}.split(): sys.modules[name] = None\n"
        "from train.embedder import build, evaluate\nfrom train.embedder.train import main\n"
        f"sys.exit(main([{str(tmp_path / 'out.safetensors')!r}, '--pairs', {str(tmp_path / 'pairs.jsonl')!r}, "
        f"'--base', {str(tiny)!r}, '--rows', '2', '--steps', '1']))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (tmp_path / "out.safetensors").is_file()


# Judging ---------------------------------------------------------------------------------------------------------------


def written_set(folder: Path, corpus: list[dict[str, Any]], queries: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_scores_count_places() -> None:
    assert scores([1, 2, 6, 11]) == {"questions": 4, "hit@1": 0.25, "hit@5": 0.5, "hit@10": 0.75, "MRR@10": 0.4167}


def test_texts_are_ranked_by_their_nearest_window_within_the_file(
    tmp_path: Path, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    filler = "The meadow beside the river is mown twice a year and grazed in autumn. " * 60
    corpus = [
        {"id": "long", "file": "a", "text": filler + "Olga Brandt opened the bridge in May 1931."},
        {"id": "other", "file": "a", "text": "Net sales of paint rose by a tenth."},
        {"id": "twin", "file": "b", "text": "Who opened the bridge? Olga Brandt opened the bridge."},
    ]
    queries = [
        {"question": "Who opened the bridge?", "relevant_ids": ["long"], "file": "a", "kind": "in a file"},
        {"question": "Who opened the bridge?", "relevant_ids": ["long"]},
    ]
    folder = written_set(tmp_path / "set", corpus, queries)
    cut = read_corpus(folder, tokenizer, 64)
    assert max(map(len, cut.windows)) == 66
    assert cut.owners[-2:] == [1, 2]
    assert cut.owners.count(0) > 15
    found = figures_of(cut, load_encoder(base_encoder(), CPU), tokenizer)
    assert found["in a file"]["hit@1"] == 1.0
    assert (found["text"]["hit@1"], found["text"]["MRR@10"]) == (0.0, 0.5)
    assert evaluate(["--sets", str(folder), "--window", "64"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"] == {"set": found}


def test_windows_that_are_given_are_taken(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"id": "a", "text": "one two three", "windows": ["one two", "three"]}]
    folder = written_set(tmp_path / "set", rows, [{"question": "What?", "relevant_ids": ["a"]}])
    assert read_corpus(folder, tokenizer).windows == token_ids(["one two", "three"], tokenizer)
    assert read_corpus(folder, tokenizer, 254).windows == token_ids(["one two three"], tokenizer)


def test_a_set_that_asks_for_a_text_it_lacks_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    folder = written_set(tmp_path / "set", [{"id": "a", "text": "x"}], [{"question": "What?", "relevant_ids": ["b"]}])
    with pytest.raises(DataError, match="asks for 'b'"):
        read_corpus(folder, tokenizer)


def test_a_file_that_is_no_change_is_told_in_one_line(tmp_path: Path) -> None:
    folder = written_set(tmp_path / "set", [{"id": "a", "text": "x"}], [{"question": "What?", "relevant_ids": ["a"]}])
    path = tmp_path / "change.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(DataError, match="is no change"):
        evaluate([str(path), "--sets", str(folder)])


# Serving ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_a_served_change_gives_the_vectors_that_were_judged(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    if device == "torch":
        monkeypatch.setattr("rag_core.encoder.packed.packed_encoder", lambda *_: None)
    trained = load_encoder(base_encoder(), CPU)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in trained.named_parameters():
            if "embeddings" not in name and tensor.ndim == 2:
                tensor += 0.1 * tensor.std() * torch.randn_like(tensor)
    path = tmp_path / "change.safetensors"
    save_change(trained, path, base_encoder())
    plain, changed = (RagConfig().with_setting("embedding.change", change) for change in ("none", str(path)))
    texts = ["What was revenue?", "Revenue rose to $4.2 million. " * 40]
    served = create_embedder(changed).encode(texts)
    from safetensors.torch import load_file

    judged = load_encoder(base_encoder(), CPU, unpacked(load_file(str(path))))
    wanted = encode_rows(judged, token_ids(texts, open_tokenizer(None))).numpy()
    assert (served * wanted).sum(axis=1).min() > 0.998
    assert (create_embedder(plain).encode(texts) * wanted).sum(axis=1).max() < 0.99
    names = {create_embedder(config).name for config in (plain, changed)}
    save_change(trained, path, base_encoder(), 0.5)
    assert len(names | {create_embedder(changed).name}) == 3


def test_a_change_of_another_base_or_none_at_all_is_not_served(tmp_path: Path, tiny: Path, pairs: list[Pair]) -> None:
    path = tmp_path / "change.safetensors"
    config = RagConfig().with_setting("embedding.change", str(path))
    with pytest.raises(ModelNotFoundError, match="no change"):
        _ = create_embedder(config).name
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelLoadError, match="is no change"):
        create_embedder(config).load()
    save_change(train_embedder(pairs, Recipe(steps=1, rows=4), tiny), path, tiny)
    with pytest.raises(ModelLoadError, match="changes another embedder"):
        create_embedder(config).load()
