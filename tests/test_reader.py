"""The reading models: real MiniLM and real SmolLM2 with the shipped changes, against transformers and plain passages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from rag_core import ModelLoadError
from rag_core.answers import reader as reader_module
from rag_core.answers.reader import SpanReader
from rag_core.answers.readingmodels import READER_FILE, encoder_model, generator_model
from rag_core.config import EmbeddingConfig, RagConfig
from rag_core.encoder.bert import BertEncoder, read_settings
from rag_core.encoder.changes import unpacked
from rag_core.models import fetch, resolve_embedder
from rag_core.search.ranking import WindowRanker

BRIDGE = (
    "The bridge at Ferrin was opened on 4 May 1931 by the minister Olga Brandt. It cost 6.25 million crowns, twice what "
    "had been planned, because the northern pier sank (by 40 centimetres) while it was built."
)


@pytest.fixture(scope="module", params=["encoder", "generator"])
def reader(request: pytest.FixtureRequest) -> SpanReader:
    if request.param == "encoder":
        return SpanReader()
    model = generator_model(RagConfig().cache_directory)
    if model is None:
        pytest.skip("this processor does not multiply bytes")
    return SpanReader(lambda: model, "close reader")


def read(reader: SpanReader, question: str, text: str) -> tuple[str, float]:
    span = reader.read(question, [text])[0]
    return text[span.start : span.end], span.margin


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who opened the bridge?", "Olga Brandt"),
        ("When was the bridge opened?", "4 May 1931"),
        ("How much did the bridge cost?", "6.25 million crowns"),
        ("Why did the bridge cost more than planned?", "the northern pier sank"),
    ],
)
def test_it_answers_in_the_words_of_the_passage(reader: SpanReader, question: str, answer: str) -> None:
    found, margin = read(reader, question, BRIDGE)
    assert answer in found
    assert len(found) < len(answer) + 60
    assert margin > 0


@pytest.mark.parametrize(
    "question", ["How many ships does the harbour of Tarn have?", "Who painted the ceiling of the opera?"]
)
def test_a_passage_without_the_answer_does_not_beat_none(reader: SpanReader, question: str) -> None:
    assert read(reader, question, BRIDGE)[1] < 0


def test_the_passage_that_holds_the_answer_has_the_larger_margin(reader: SpanReader) -> None:
    other = "The opera house of Ferrin seats 1,200 people and was built of yellow brick in three years."
    first, second = reader.read("Who opened the bridge?", [other, BRIDGE])
    assert second.margin > first.margin


def test_the_end_of_a_long_text_is_read_as_well(reader: SpanReader) -> None:
    filler = "The meadow beside the river is mown twice a year and grazed in autumn. " * 90
    found, margin = read(reader, "Who opened the bridge?", filler + BRIDGE)
    assert "Olga Brandt" in found
    assert margin > 0


@pytest.mark.parametrize(
    "text",
    ["", " ", "\ud800", "[SEP] [CLS] [PAD] [SEP]", "<|im_end|><|im_start|>", "a" * 3_000, "\N{HEAVY CHECK MARK}" * 50],
)
def test_any_text_gives_a_span_inside_it(reader: SpanReader, text: str) -> None:
    span = reader.read("Who opened the bridge?", [text])[0]
    assert 0 <= span.start <= span.end <= len(text)


def test_special_tokens_in_a_document_are_only_characters(reader: SpanReader) -> None:
    found, margin = read(reader, "Who opened the bridge?", f"[SEP]<|im_end|> {BRIDGE} <|im_start|>[CLS] [SEP]")
    assert "Olga Brandt" in found
    assert margin > 0


def test_a_long_question_and_no_texts(reader: SpanReader) -> None:
    assert reader.read("Who " * 4_000, []) == []
    assert len(reader.read("Who opened the bridge? " * 400, [BRIDGE, ""])) == 2


def test_whole_words_and_figures_are_kept() -> None:
    text = "It grew by 6.5% (from $1,250.40) in 1896."
    whole = reader_module._whole
    five = text.index("5%")
    assert text[slice(*whole(text, five, five + 2))] == "6.5%"
    figure = text.index("250")
    assert text[slice(*whole(text, figure, figure + 3))] == "$1,250.40"
    assert text[slice(*whole(text, text.index("(from"), text.index("$") + 9))] == "from $1,250.40"
    both = f"Sales of the {'x' * 60} division rose, {text}"
    end = both.index("5%") + 2
    assert both[slice(*whole(both, end - 2, end))] == "6.5%"
    year = text.index("1896")
    assert text[slice(*whole(text, year, len(text)))] == "1896"
    rates = "The rate was 22.4% (22.0% in 2022), or less."
    assert rates[slice(*whole(rates, rates.index("22.4"), rates.index(" in")))] == "22.4%"
    assert rates[slice(*whole(rates, rates.index("22.4"), rates.index(", or")))] == "22.4% (22.0% in 2022)"


@pytest.mark.parametrize(
    ("text", "found", "whole"),
    [
        ("The Board decided not to refer it.", "to refer it", "not to refer it"),
        ("The fee wasn't paid in 2023.", "paid in 2023", "wasn't paid in 2023"),
        ("It is no longer held by banks.", "held by banks", "no longer held by banks"),
        ("There is a knot to tie.", "to tie", "to tie"),
    ],
)
def test_an_answer_keeps_the_word_that_turns_it_round(text: str, found: str, whole: str) -> None:
    start = text.index(found)
    assert text[slice(*reader_module._whole(text, start, start + len(found)))] == whole


def test_states_of_pairs_are_those_of_transformers() -> None:
    from transformers import AutoModel

    folder = fetch(resolve_embedder(EmbeddingConfig()))
    settings = read_settings(folder)
    assert settings is not None
    ours = BertEncoder(folder, settings, "cpu", reduced=False)
    pairs = [([101, 2040, 2003, 102, 1996, 2958, 102], 4), ([101, 2054, 102, 2009, 102], 3)]
    theirs = AutoModel.from_pretrained(str(folder)).eval()
    for (ids, second), states in zip(pairs, ours.states(pairs), strict=True):
        segments = torch.tensor([[int(place >= second) for place in range(len(ids))]])
        with torch.inference_mode():
            expected = theirs(input_ids=torch.tensor([ids]), token_type_ids=segments).last_hidden_state[0]
        np.testing.assert_allclose(states.numpy(), expected.numpy(), atol=2e-5)


def test_packed_changes_come_back_as_numbers_times_scales() -> None:
    numbers = torch.arange(128).reshape(2, 64).to(torch.int64) % 16
    packed = (numbers[:, 0::2] | (numbers[:, 1::2] << 4)).to(torch.uint8)
    stored = {"w.numbers": packed, "w.scales": torch.tensor([[0.5], [2.0]]).half(), "b": torch.ones(3).half()}
    changes = unpacked(stored)
    assert torch.equal(changes["w"][0], (numbers[0] - 8) * 0.5)
    assert torch.equal(changes["w"][1], (numbers[1] - 8) * 2.0)
    assert torch.equal(changes["b"], torch.ones(3))


def test_another_base_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file, save_file

    other = tmp_path / "reader.safetensors"
    save_file(load_file(str(READER_FILE)), str(other), metadata={"base": "0" * 16})
    with pytest.raises(ModelLoadError, match=r"another MiniLM.+ set RAG_READER=false"):
        SpanReader(partial(encoder_model, tmp_path, other)).read("Who?", ["text"])
    # What reads for the search names the setting that searches without it.
    monkeypatch.setattr("rag_core.search.ranking.RANKER_FILE", other)
    with pytest.raises(ModelLoadError, match=r"another MiniLM.+ set RAG_REREAD=0"):
        WindowRanker(tmp_path).load()


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "reader.safetensors"
    other.write_bytes(b"no tensors")
    with pytest.raises(ModelLoadError, match="install it again"):
        SpanReader(partial(encoder_model, tmp_path, other)).load()
