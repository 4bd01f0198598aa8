"""Reading data and reader training: what the rows promise, and a tiny encoder that learns a handful of them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from train_models import take_steps

from rag_core.answers.reader import SpanReader
from rag_core.answers.readingmodels import GENERATOR_FILE, READER_FILE
from rag_core.encoder.changes import base_digest, unpacked
from train.encoding import PASSAGE_BREAK, Encoder
from train.errors import BaseModelError, CheckpointError, DataError
from train.reader.build import NO_ANSWER
from train.reader.build import main as build
from train.reader.cloze import cloze_examples
from train.reader.evaluate import evaluate
from train.reader.examples import ReadingExample, compose, held_out, occurrences, report_examples
from train.reader.formulas import calculations_over
from train.reader.network import base_encoder, build_network, load_network, reading_loss, save_network, scores_of
from train.reader.packing import packed
from train.reader.pairs import MAX_TOKENS, batch_of, encode_pairs
from train.reader.paragraphs import Paragraph, Question, load_paragraphs
from train.rows import Row, read_rows


@pytest.fixture(scope="module")
def paragraphs() -> list[Paragraph]:
    return load_paragraphs()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base_encoder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def test_the_paragraphs_are_many_varied_and_unlike_each_other(paragraphs: list[Paragraph]) -> None:
    questions = [question for paragraph in paragraphs for question in paragraph.questions]
    unanswerable = sum(not question.answer for question in questions)
    assert len(paragraphs) >= 300
    assert len({paragraph.topic for paragraph in paragraphs}) >= 10
    assert len({paragraph.text for paragraph in paragraphs}) == len(paragraphs)
    assert 0.2 < unanswerable / len(questions) < 0.45


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A text.\nQ Who? | nobody", "does not stand in the text"),
        ("A text.\nQ What? | text\nWho? | text", "is not `Q question"),
        ("A text.\nQ Who? text", "is not `Q question"),
        ("A text.", "has no questions"),
    ],
)
def test_a_wrong_paragraph_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "one.txt").write_text(f"Good text.\nQ What? | text\n\n{content}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as raised:
        load_paragraphs(tmp_path)
    assert "one.txt, paragraph 2" in str(raised.value)


def test_a_paragraph_may_hold_a_table(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(
        "Sales:\n | 2024 | 2023\nPaint | 41 | 39\nQ What were sales of paint in 2024? | 41\n"
    )
    [paragraph] = load_paragraphs(tmp_path)
    assert paragraph.text == "Sales:\n | 2024 | 2023\nPaint | 41 | 39"
    assert paragraph.questions == (Question("What were sales of paint in 2024?", "41"),)


def test_what_is_to_be_computed_of_a_paragraph_is_not_read_for_words(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(
        "Sales were 41, of which 9 abroad.\nQ Sales? | 41\nQ And at home? | = [41] - [9]\n\nNo sales.\nQ Sales? | -\n"
    )
    first, second = load_paragraphs(tmp_path)
    assert first.questions == (Question("Sales?", "41"),)
    [asked] = calculations_over([first, second], tmp_path)
    assert (asked.question, asked.text) == ("And at home?", first.text)
    assert asked.formula is not None
    assert asked.formula.value() == 32
    assert not calculations_over([second], tmp_path)


def test_many_paragraphs_are_asked_for_calculations_too(paragraphs: list[Paragraph]) -> None:
    asked = calculations_over(paragraphs)
    assert len(asked) > 3_000
    assert len({each.text for each in asked}) > 500


def test_a_folder_without_paragraphs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no paragraphs"):
        load_paragraphs(tmp_path)


def test_answers_stand_whole_in_their_passages(paragraphs: list[Paragraph]) -> None:
    chance = random.Random(1)
    examples = compose(paragraphs, chance) + report_examples(300, chance) + cloze_examples(paragraphs, chance)
    for example in examples:
        if example.answer:
            assert occurrences("\n\n".join(example.passages), example.answer), example.question
    assert sum(not example.answer for example in examples) > len(examples) / 6


def test_near_misses_are_made_about_another_name_or_year() -> None:
    asked = Question("When was the Bank of Lethe founded in 1857?", "1857")
    paragraph = Paragraph("t", "The Bank of Lethe was founded in 1857.", (asked,))
    other = Paragraph("t", "A text.", (Question("Who ran the Union of Cooks?", ""),))
    made = {
        example.question
        for seed in range(40)
        for example in compose([paragraph, other], random.Random(seed))
        if not example.answer and paragraph.text in example.passages and "founded" in example.question
    }
    assert made
    assert all("1857" not in question for question in made)


def test_held_out_paragraphs_are_not_trained_on(paragraphs: list[Paragraph]) -> None:
    trained, held = held_out(paragraphs)
    assert len(trained) + len(held) == len(paragraphs)
    assert not {paragraph.text for paragraph in trained} & {paragraph.text for paragraph in held}
    assert len(held) >= 30


def test_a_figure_is_no_part_of_a_larger_one() -> None:
    assert occurrences("5 of 1,500.5 and 15 or 5,000; 5.", "5") == [0, 30]
    assert occurrences("(12) | 12 | 112", "12") == [1, 7]


def test_the_same_seed_gives_the_same_reports() -> None:
    assert report_examples(50, random.Random(4)) == report_examples(50, random.Random(4))
    assert report_examples(50, random.Random(4)) != report_examples(50, random.Random(5))


def test_built_rows_train_the_generator_under_the_served_prompt(tmp_path: Path) -> None:
    from train_models import embedded_folder

    assert build([str(tmp_path), "--variants", "1", "--reports", "40"]) == 0
    rows = read_rows(str(tmp_path / "train.jsonl"))
    assert any(row.answer == NO_ANSWER for row in rows)
    several = next(row for row in rows if PASSAGE_BREAK in row.context and row.answer != NO_ANSWER)
    prompt = Encoder(embedded_folder(), "SmolLM2-135M-Instruct").messages(several)[-1].content
    assert "[1] " in prompt
    assert "[2] " in prompt
    assert several.answer in prompt
    judged = [json.loads(line) for line in (tmp_path / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    seen = {(row.question, row.context) for row in rows}
    assert not any((row["instruction"], row["input"]) in seen for row in judged[:-200])


def test_one_passage_is_encoded_as_before() -> None:
    from train_models import embedded_folder

    encoder = Encoder(embedded_folder(), "SmolLM2-135M-Instruct")
    content = encoder.messages(Row("What was revenue?", "Revenue was 5.", "5"))[-1].content
    assert content.count("<passage-") == 1
    assert "[1] document, page 1" in content


def test_pairs_point_at_their_answers(paragraphs: list[Paragraph], tokenizer: Any) -> None:
    examples = [example for example in compose(paragraphs[:40], random.Random(2)) if example.answer]
    pairs = encode_pairs(examples, tokenizer, random.Random(0))
    assert len(pairs) > len(examples) * 0.9
    by_question = {example.question: example.answer for example in examples}
    for pair in pairs[:60]:
        question = tokenizer.decode(list(pair.ids[: pair.second]))
        answers = {
            answer.lower().replace(" ", "") for asked, answer in by_question.items()
            if asked.lower().replace(" ", "")[:20] == question.replace(" ", "")[:20]
        }  # fmt: skip
        found = {tokenizer.decode(list(pair.ids[first : last + 1])).replace(" ", "") for first, last in pair.spans}
        assert answers & found or any(letter >= "à" for answer in answers for letter in answer)


def test_of_a_long_text_a_part_that_holds_the_answer_is_shown(tokenizer: Any) -> None:
    filling = "Nothing of note was reported by the committee in that year. " * 60
    text = f"{filling}The harbour cost 312 crowns. {filling}"
    asked = ReadingExample("What did the harbour cost?", (text,), "312 crowns")
    unasked = ReadingExample("Who built it?", (text,), "")
    chance = random.Random(3)
    pairs = [encode_pairs([asked, unasked], tokenizer, chance) for _ in range(20)]
    starts = set()
    for pair, none in pairs:
        assert len(pair.ids) == len(none.ids) == MAX_TOKENS
        [(first, last)] = pair.spans
        starts.add(first)
        assert tokenizer.decode(list(pair.ids[first : last + 1])) == "312 crowns"
        assert none.spans == ()
    assert len(starts) > 5


def test_packing_keeps_a_change_within_half_a_step() -> None:
    torch.manual_seed(0)
    change = torch.randn(6, 128) * torch.rand(6, 1)
    change[2] = 0
    numbers, scales = packed(change)
    back = unpacked({"w.numbers": numbers, "w.scales": scales})["w"]
    assert back.shape == change.shape
    assert float((back - change).norm() / change.norm()) < 0.12
    assert not bool(back[2].any())


def tiny_encoder(folder: Path) -> Path:
    from transformers import BertConfig, BertModel

    folder.mkdir()
    shutil.copy(base_encoder() / "tokenizer.json", folder / "tokenizer.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
    model.save_pretrained(str(folder))
    return folder


def test_a_tiny_encoder_learns_spans_and_what_it_learnt_is_saved(
    tmp_path: Path, paragraphs: list[Paragraph], tokenizer: Any
) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    texts = [Paragraph(p.topic, p.text[:160], ()) for p in paragraphs[:3]]
    examples = cloze_examples(texts, random.Random(0))[:5]
    unanswerable = [type(example)(example.question, (texts[-1].text,), "") for example in examples[:1]]
    pairs = encode_pairs([*examples, *unanswerable], tokenizer, random.Random(0))
    batch = batch_of(pairs, torch.device("cpu"))
    torch.manual_seed(0)
    network = build_network(folder, torch.device("cpu"))
    before = float(reading_loss(scores_of(network, batch), batch).detach())
    take_steps(network, batch, 3e-3, 60)
    scores = scores_of(network.eval(), batch)
    assert float(reading_loss(scores, batch).detach()) < 0.2 < before
    starts = scores.spans[..., 0].argmax(dim=1).tolist()
    assert all(
        start in [first for first, _ in pair.spans or ((0, 0),)] for start, pair in zip(starts, pairs, strict=True)
    )

    save_network(network, folder, tmp_path / "reader.safetensors")
    from safetensors import safe_open
    from safetensors.torch import load_file

    base = load_file(folder / "model.safetensors")
    with safe_open(str(tmp_path / "reader.safetensors"), framework="pt") as file:
        assert file.metadata()["base"] == base_digest(base)
    changes = unpacked(load_file(str(tmp_path / "reader.safetensors")))
    assert not any("embeddings" in name for name in changes)
    name = "encoder.layer.0.intermediate.dense.weight"
    wanted = network["encoder"].state_dict()[name] - base[name]
    assert float((changes[name] - wanted).norm() / wanted.norm()) < 0.15
    assert torch.equal(changes["head.weight"], network["head"].weight.detach())

    again = build_network(folder, torch.device("cpu"))
    load_network(again, folder, tmp_path / "reader.safetensors")
    assert abs(float((again["encoder"].state_dict()[name] - base[name] - changes[name]).abs().max())) < 1e-6
    assert float(reading_loss(scores_of(again.eval(), batch), batch).detach()) < before / 2


def test_a_start_from_elsewhere_is_refused(tmp_path: Path) -> None:
    network, folder = torch.nn.ModuleDict(), base_encoder()
    with pytest.raises(CheckpointError, match="no trained reader"):
        load_network(network, folder, tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(READER_FILE.read_bytes()[:5_000])
    with pytest.raises(CheckpointError, match="no trained reader"):
        load_network(network, folder, tmp_path / "cut.safetensors")
    with pytest.raises(BaseModelError, match="another model"):
        load_network(network, folder, GENERATOR_FILE)


def test_scores_are_over_answerable_and_other_questions_apart() -> None:
    text = "The bridge was opened by Olga Brandt on 4 May 1931."
    rows = [
        {"text": text, "question": "Who opened the bridge?", "answers": ["a mason", "Olga Brandt"], "answerable": True},
        {"text": text, "question": "When was the bridge opened?", "answers": ["in autumn"], "answerable": True},
        {"text": text, "question": "How many ships does the navy have?", "answers": [], "answerable": False},
    ]
    scores = evaluate(rows, SpanReader())
    assert (scores["answerable"], scores["unanswerable"]) == (2, 1)
    assert scores["f1"] == scores["exact"] == scores["contained"] == 0.5
    assert scores["auc"] == scores["kept"] == scores["refused"] == 1.0
    assert evaluate([], SpanReader())["f1"] is None


def test_a_row_without_a_field_is_named() -> None:
    with pytest.raises(DataError, match=r"row 2 has no 'text'"):
        evaluate(
            [{"text": "", "question": "Who?", "answers": [], "answerable": False}, {"question": "?"}], SpanReader()
        )
