"""A cross-encoder decides the order of passages and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import make_document, make_hit

from rag_core import ModelError, RagConfig
from rag_core.errors import ModelLoadError
from rag_core.records import Hit
from rag_core.search.reranking import LocalReranker, create_reranker, reranked

TEXTS = ("The loan matures in 2027.", "A dividend is proposed.", "The rent rises with prices.")


def hits() -> list[Hit]:
    return [make_hit(make_document(text), score=0.9 - 0.2 * place) for place, text in enumerate(TEXTS)]


class Fixed:
    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        return self._scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of random weights: what its scores are does not matter, that they are used does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("reranker")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text in TEXTS for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=1, initializer_range=1.0,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_the_order_is_the_rerankers_and_the_scores_stay() -> None:
    found = reranked("any", hits(), Fixed(-3.0, 7.0, 1.0))
    assert [hit.text for hit in found] == [TEXTS[1], TEXTS[2], TEXTS[0]]
    assert [hit.score for hit in found] == [hit.score for hit in hits()]
    assert [hit.text for hit in reranked("any", hits(), Fixed(1.0, 1.0, 1.0))] == list(TEXTS)
    assert reranked("any", hits()[:1], Fixed()) == hits()[:1]


@pytest.mark.parametrize("scores", [(1.0,), (1.0, float("nan"), 2.0)])
def test_unusable_scores_are_told(scores: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="RAG_RERANKER"):
        reranked("any", hits(), Fixed(*scores))


def test_a_model_of_a_folder_reorders(folder: Path) -> None:
    reranker = LocalReranker(str(folder), "cpu")
    scores = reranker.scores("When does the loan mature?", TEXTS)
    assert len(set(scores)) == len(TEXTS)
    best = max(range(len(TEXTS)), key=scores.__getitem__)
    assert reranked("When does the loan mature?", hits(), reranker)[0].text == TEXTS[best]


def test_it_is_off_unless_named(folder: Path) -> None:
    assert create_reranker(RagConfig()) is None
    named = create_reranker(RagConfig.from_env({"RAG_RERANKER": str(folder), "RAG_DEVICE": "cpu"}))
    assert isinstance(named, LocalReranker)
    with pytest.raises(ModelLoadError, match="RAG_RERANKER"):
        LocalReranker(str(folder / "missing")).scores("any", TEXTS)
