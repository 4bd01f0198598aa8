"""Rows as token ids: masks token by token under Mistral's real tokenizer and SmolLM2's, and nothing that is not served."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from train_models import embedded_folder, mistral_tokenizer, tiny_rows

from rag_core.config import GenerationConfig
from rag_core.policy import policy_for
from rag_core.prompting import build_prompt, defuse
from rag_core.records import Document, Hit, Message, Page, Window
from train.encoding import IGNORED, Encoder, Example, labels_of, limited
from train.errors import BaseModelError
from train.rows import Row

SMOLLM2, MISTRAL = "SmolLM2-135M-Instruct", "mistralai/Mistral-7B-Instruct-v0.1"
# System, user and answer; the ids of prompt and answer by mistral-common 1.13.1 with sentencepiece 0.2.3:
# MistralTokenizer.v1().encode_chat_completion(...).tokens and its instruct_tokenizer.encode_assistant_message(...).
MISTRAL_COMMON = [
    (
        ("", "What is a bond?", "A bond is a loan."),
        "1 733 16289 28793 1824 349 264 9410 28804 733 28748 16289 28793",
        "330 9410 349 264 9976 28723 2",
    ),
    (
        ("Answer briefly.", "Net income rose 12.5% to €1.234 – why?", "Costs fell by ½ 🙂; 日本 grew."),
        "1 733 16289 28793 26307 15643 28723 13 13 4428 7904 8536 28705 28740 28750 28723 28782 28823 298 17416 28740 28723 "
        "28750 28770 28781 764 2079 28804 733 28748 16289 28793",
        "9319 28713 5970 486 28705 29039 28705 29340 28745 28705 29142 29119 8108 28723 2",
    ),
    (
        ("", "Columns:\n\ta  b\n\n   c", "- one\n- two\n\n  three"),
        "1 733 16289 28793 19672 28713 28747 13 12 28708 28705 287 13 13 259 277 733 28748 16289 28793",
        "387 624 13 28733 989 13 13 28705 1712 2",
    ),
    (("", "And?", "  Yes"), "1 733 16289 28793 1015 28804 733 28748 16289 28793", "259 5592 2"),
    (("", "And?", "\nYes"), "1 733 16289 28793 1015 28804 733 28748 16289 28793", "28705 13 5613 2"),
]
CONTROL = ["</s>", "<s>", "<unk>", "[INST]", "[/INST]", "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<<SYS>>"]
TEXT = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from([*CONTROL, " ", "\n", "€1.234", "½", "🙂", "日本", "12.5%", "ﬁ", "\u0301"]),
    ),
    min_size=1,
    max_size=8,
).map("".join)
EXAMPLES = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(mistral_tokenizer(tmp_path_factory.mktemp("mistral")), MISTRAL)


@pytest.fixture(scope="module")
def smollm2() -> Encoder:
    return Encoder(embedded_folder(), SMOLLM2)


@pytest.fixture(scope="module", params=[SMOLLM2, MISTRAL])
def encoder(request: pytest.FixtureRequest, mistral: Encoder, smollm2: Encoder) -> Encoder:
    return mistral if request.param == MISTRAL else smollm2


def learnt(item: Example) -> tuple[int, ...]:
    return item.ids[item.answer_start :]


def shown(encoder: Encoder, item: Example) -> list[tuple[str, bool]]:
    """Each token as its vocabulary spells it, and whether it is in the loss."""
    labels = labels_of(item)
    assert len(labels) == len(item)
    assert all(label in (IGNORED, token) for label, token in zip(labels, item.ids, strict=True))
    names = [encoder.tokenizer._tokenizer.id_to_token(token) for token in item.ids]
    return [(name, label != IGNORED) for name, label in zip(names, labels, strict=True)]


@pytest.mark.parametrize(("texts", "prompt", "answer"), MISTRAL_COMMON)
def test_ids_are_those_of_mistral_common(
    mistral: Encoder, texts: tuple[str, str, str], prompt: str, answer: str
) -> None:
    system, user, said = texts
    messages = [Message("user", user)] if not system else [Message("system", system), Message("user", user)]
    assert mistral.tokenizer.encode(messages) == [int(token) for token in prompt.split()]
    assert [*mistral.tokenizer.encode_answer(said), mistral.end_id] == [int(token) for token in answer.split()]


def test_rows_are_written_as_mistral_common_writes_them(mistral: Encoder) -> None:
    """Its own code over our pieces, on prompts as they are served: markers, system text and spaces are where it has them."""
    from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
    from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV1

    class Pieces:
        bos_id, eos_id = 1, 2

        def encode(self, text: str, bos: bool, eos: bool) -> list[int]:
            ids = mistral.tokenizer._tokenizer.encode(text, add_special_tokens=False).ids
            return [self.bos_id] * bos + ids + [self.eos_id] * eos

    theirs = InstructTokenizerV1(Pieces())  # type: ignore[arg-type, type-var]
    for record in tiny_rows(12):
        row = Row(record["instruction"], record["input"], record["output"])
        *system, user = mistral.messages(row)
        instruction = system[0].content if system else None
        prompt, *_ = theirs.encode_user_message(UserMessage(content=user.content), None, True, True, instruction)
        answer = theirs.encode_assistant_message(AssistantMessage(content=row.answer), False)
        assert mistral.encode(row).ids == (1, *prompt, *answer)


def test_where_mistral_common_differs(mistral: Encoder) -> None:
    # An earlier answer stands right behind [/INST] in the model's own template; mistral-common encodes it apart, and
    # SentencePiece puts a space in front of it. Rows have no history, so training never sees the difference.
    turns = [Message("user", "a"), Message("assistant", "A bond"), Message("user", "b")]
    ours = mistral.tokenizer.encode(turns)
    theirs = [1, 733, 16289, 28793, 264, 733, 28748, 16289, 28793, 330, 9410, 2, 733, 16289, 28793, 287, 733, 28748]
    assert [(a, b) for a, b in zip(ours, [*theirs, 16289, 28793], strict=True) if a != b] == [(28741, 330)]
    # It spells control tokens out where they stand in a text; here they are broken by a space.
    assert mistral.tokenizer.encode_answer("</s> a") != [1867, 28713, 28767, 264]
    assert mistral.tokenizer.decode(mistral.tokenizer.encode_answer("</s> a")) == "< /s> a"


def test_mask_of_mistral_token_by_token(mistral: Encoder) -> None:
    words = "<s> ▁[ INST ] ▁What ▁is ▁a ▁bond ? ▁[ / INST ] ▁A ▁loan ▁at ▁ 5 %. </s>".split(" ")
    mask = [False] * 13 + [True] * 7
    assert shown(mistral, mistral.encode(Row("What is a bond?", "", "A loan at 5%."))) == list(
        zip(words, mask, strict=True)
    )


def test_mask_of_smollm2_token_by_token(smollm2: Encoder) -> None:
    names = shown(smollm2, smollm2.encode(Row("What is a bond?", "", "A loan at 5%.")))
    answer = ["A", "Ġloan", "Ġat", "Ġ", "5", "%.", "<|im_end|>"]
    assert names[-7:] == [(word, True) for word in answer]
    assert not any(in_loss for _, in_loss in names[:-7])
    assert [name for name, _ in names[-11:-7]] == ["<|im_start|>", "ass", "istant", "Ċ"]


def test_smollm2_is_written_as_transformers_writes_it(smollm2: Encoder) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(embedded_folder()))
    for record in tiny_rows(6):
        row = Row(record["instruction"], record["input"], record["output"])
        turns = [{"role": turn.role, "content": turn.content} for turn in smollm2.messages(row)]
        whole = theirs.apply_chat_template([*turns, {"role": "assistant", "content": row.answer}], return_dict=True)
        # The template goes on with a line break after the end of the turn; a model that stops there never writes it.
        assert (*smollm2.encode(row).ids, *smollm2.tokenizer.encode_answer("\n")) == tuple(whole["input_ids"])


def test_prompts_are_those_that_are_served(encoder: Encoder) -> None:
    name = MISTRAL if encoder.end_id == encoder.tokenizer._tokenizer.token_to_id("</s>") else SMOLLM2
    policy = policy_for(name, GenerationConfig())
    for question, context in (
        ("What was the margin?", "Gross margin was 41.2% (2022: 39.8%).\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        ("  Why [INST] so\nlow? </s>", "Text that says </passage-000000> and <|im_end|> and [/INST]."),
    ):
        document = Document("f" * 64, "document", "text/plain", 9, context, (Page(1, 0, len(context)),))
        hit = Hit(document, 1, 0, len(context), context, 0.7, focus=Window(5, 20))
        served = build_prompt(question, [hit], (), policy, encoder.tokenizer.count)
        item = encoder.encode(Row(question, context, "41.2%"))
        assert list(item.ids[: item.answer_start]) == encoder.tokenizer.encode(served.messages)
        assert served.dropped_passages == 0


def test_a_question_without_context_stands_alone(encoder: Encoder) -> None:
    item = encoder.encode(Row("What  is\na bond? [/INST] no", "", "A loan."))
    asked = [Message("user", "What is a bond? (/INST] no")]
    assert list(item.ids[: item.answer_start]) == encoder.tokenizer.encode(asked)


def test_pad_is_not_the_end(mistral: Encoder, smollm2: Encoder) -> None:
    # SmolLM2's own pad_token is its end of turn: learning to stop would go with the padding.
    assert (mistral.end_id, mistral.pad_id) == (2, 0)
    assert (smollm2.end_id, smollm2.pad_id) == (2, 0)
    assert smollm2.tokenizer._names["pad_token"] == smollm2.tokenizer._names["eos_token"]


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    folder = mistral_tokenizer(tmp_path)
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    with pytest.raises(BaseModelError, match="eos_token"):
        Encoder(folder, "mistral")


@EXAMPLES
@given(question=TEXT, context=st.one_of(st.just(""), TEXT), answer=TEXT)
@example(question="</s>", context="[/INST]", answer="</s>")
@example(question="a", context="", answer="<|im_end|><|im_end|>")
def test_only_the_answer_and_its_end_are_learnt(encoder: Encoder, question: str, context: str, answer: str) -> None:
    row = Row(question, context, answer)
    item = encoder.encode(row)
    assert not item.cut
    assert list(item.ids[: item.answer_start]) == encoder.prompt(row)
    assert learnt(item)[-1] == encoder.end_id
    control = encoder.tokenizer.control_ids
    assert [token for token in learnt(item) if token in control] == [encoder.end_id]
    # Nothing in a text opens or ends a turn: there are as many control tokens as in a row of plain words.
    neutral = encoder.encode(Row("a", "b" if context else "", "c"))
    assert sum(token in control for token in item.ids) == sum(token in control for token in neutral.ids)
    assert encoder.pad_id not in item.ids[item.answer_start :]


@EXAMPLES
@given(answer=st.text(st.characters(max_codepoint=0x1FFFF, exclude_categories=["Cc", "Cs"]), min_size=1))
@example(answer="  two spaces in front")
@example(answer="\n\n- a list\n- of two")
def test_an_answer_comes_back_as_it_was(encoder: Encoder, answer: str) -> None:
    # SentencePiece writes a space as ▁. SmolLM2 has no token for control characters and the highest planes.
    answer = answer.replace("▁", "")
    ids = learnt(encoder.encode(Row("q", "", answer)))
    assert encoder.tokenizer.decode(ids) == answer


@EXAMPLES
@given(question=TEXT, answer=TEXT, limit=st.integers(1, 120))
def test_a_cut_answer_has_no_end(encoder: Encoder, question: str, answer: str, limit: int) -> None:
    row = Row(question, "", answer)
    whole, short = encoder.encode(row), encoder.encode(row, limit)
    assert short.ids == whole.ids[:limit]
    assert short.cut == (len(whole) > limit)
    assert (encoder.end_id in learnt(short)) == (not short.cut)
    used = limited(whole, limit, "cut")
    assert used == (short if short.answer_start < len(short) else None)
    assert limited(whole, limit, "drop") == (None if short.cut else whole)


def test_rows_that_teach_nothing_are_left_out(encoder: Encoder) -> None:
    rows = [Row("q", "", "a " * 40), Row("q " * 200, "", "a"), Row("q", "", "short")]
    limit = len(encoder.encode(rows[0])) - 5
    assert [item.cut for item in encoder.encode_all(rows, limit, "cut")] == [True, False]
    assert [item.cut for item in encoder.encode_all(rows, limit, "drop")] == [False]


def test_broken_text_is_encoded_all_the_same(encoder: Encoder) -> None:
    item = encoder.encode(Row("lone \ud800 surrogate", "\x00\ufeff", "\udfff ok"))
    assert learnt(item)[-1] == encoder.end_id


def test_the_same_row_gives_the_same_ids(encoder: Encoder) -> None:
    rows = [Row(item["instruction"], item["input"], item["output"]) for item in tiny_rows(10)]
    first = [encoder.encode(row) for row in rows]
    random.Random(1).shuffle(rows)
    assert {encoder.encode(row) for row in rows} == set(first)


def test_defusing_keeps_length() -> None:
    for token in CONTROL:
        assert len(defuse(token)) == len(token)
        assert defuse(token) != token
