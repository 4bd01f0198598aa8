"""The embedder: the same vectors as sentence-transformers, and honest counts. About 8 s on two idle cores."""

from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_core import ModelLoadError, ModelNotFoundError, Progress, RagConfig, RagError
from rag_core.config import EmbeddingConfig
from rag_core.encoder.bert import BertEncoder, read_settings
from rag_core.encoder.changes import EMBEDDER_FILE, read_change
from rag_core.encoder.embedding import Embedder, LocalEmbedder, create_embedder
from rag_core.models import fetch, resolve_embedder

pytestmark = pytest.mark.usefixtures("one_thread")
# Cosine of vectors that are the same but for the bytes or bfloat16 in which some CPUs compute; float32 is compared number
# for number. The least of them is that of a text without words.
CLOSE = 0.998
SENTENCE = "Net sales rose 4.2% to $1,452.4 million, as fixed-price contracts (see note 12) grew. "
TEXTS = [
    "",
    "bond",
    "What is the net asset value?",
    SENTENCE,
    SENTENCE * 5,
    SENTENCE * 11,
    "Year | Revenue | Profit\n2023 | 1,200 | 90\n2022 | 1,100 | (17)",
    "Ertrag, émission, 収益, выручка — 12 €",
    "zero​width and \ud800 a lone surrogate",
    "Antidisestablishmentarianism " * 40,
    "x" * 300,
    SENTENCE * 60,
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return create_embedder(RagConfig())


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder of the embedded model."""
    return fetch(resolve_embedder(EmbeddingConfig()))


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    """The same model as sentence-transformers runs it."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def changed(folder: Path, reference: Any) -> Any:
    """The same with the shipped change added to its tensors."""
    other = copy.deepcopy(reference)
    tensors = other[0].auto_model.state_dict()
    for name, change in read_change(EMBEDDER_FILE, folder).items():
        tensors[name] += change
    return other


def clean(texts: list[str]) -> list[str]:
    return [text.encode("utf-8", "replace").decode() for text in texts]


def cosines(ours: np.ndarray, others: np.ndarray) -> np.ndarray:
    others = others / np.linalg.norm(others, axis=1, keepdims=True)
    return (ours * others).sum(axis=1)


# Of a text without words the change makes a little more of the rounding.
@pytest.mark.parametrize(("change", "wordless"), [("none", CLOSE), ("auto", 0.997)])
def test_the_vectors_are_those_of_sentence_transformers(
    change: str, wordless: float, reference: Any, changed: Any
) -> None:
    embedder = LocalEmbedder(EmbeddingConfig(change=change))
    assert reference.max_seq_length == embedder.max_tokens + 2 == 256
    own, other = (reference, changed) if change == "none" else (changed, reference)
    found = cosines(vectors := embedder.encode(TEXTS), own.encode(clean(TEXTS), normalize_embeddings=True))
    assert found[0] > wordless
    assert found[1:].min() > CLOSE
    # With the change where it is off, or without where it is on, they are further from it.
    assert (found > cosines(vectors, other.encode(clean(TEXTS), normalize_embeddings=True)))[1:].all()


@pytest.mark.parametrize("change", ["none", "auto"])
def test_in_float32_they_are_the_same_number_for_number(
    change: str, folder: Path, reference: Any, changed: Any
) -> None:
    found = read_settings(folder)
    assert found is not None
    own, changes = (reference, {}) if change == "none" else (changed, read_change(EMBEDDER_FILE, folder))
    encoder = BertEncoder(folder, found, "cpu", reduced=False, changes=changes)
    ids = [reference.tokenizer(text, truncation=True, max_length=256)["input_ids"] for text in clean(TEXTS)]
    expected = own.encode(clean(TEXTS), normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(ids, 4), expected, atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_a_card_gives_the_same_vectors(folder: Path, reference: Any) -> None:
    found = read_settings(folder)
    assert found is not None
    card, exact = BertEncoder(folder, found, "cuda"), BertEncoder(folder, found, "cpu", reduced=False)
    ids = [reference.tokenizer(text, truncation=True, max_length=256)["input_ids"] for text in clean(TEXTS)] * 40
    assert cosines(card.encode(ids, 4), exact.encode(ids, 4)).min() > CLOSE


def test_only_the_embedded_model_is_changed_unless_a_file_is_named(folder: Path) -> None:
    """And the name, which keys the index, says whether it is."""
    settings = {
        change: RagConfig.from_env({"RAG_EMBEDDER_CHANGE": change}).embedding
        for change in ("auto", "none", "", str(EMBEDDER_FILE))
    }
    names = {change: LocalEmbedder(config).name for change, config in settings.items()}
    assert names["auto"] == names[str(EMBEDDER_FILE)] == create_embedder(RagConfig()).name
    assert names["none"] == names[""] == "all-MiniLM-L6-v2"
    assert names["auto"].startswith("all-MiniLM-L6-v2+")
    copied, plain, named = (
        LocalEmbedder(EmbeddingConfig(model=str(folder), change=change))
        for change in ("auto", "none", str(EMBEDDER_FILE))
    )
    assert copied.name == plain.name
    assert named.name.startswith(f"{plain.name}+")
    vectors = [item.encode(TEXTS[2:4]) for item in (copied, plain, named)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert cosines(vectors[0], vectors[2]).max() < 0.996


def test_other_models_run_through_sentence_transformers(folder: Path, reference: Any, tmp_path: Path) -> None:
    """The same weights without the module that normalises are another kind of model."""
    for path in folder.iterdir():
        if path.name != "modules.json":
            (tmp_path / path.name).symlink_to(path)
    modules = json.loads((folder / "modules.json").read_text())
    (tmp_path / "modules.json").write_text(json.dumps(modules[:2]))
    assert read_settings(folder) is not None
    assert read_settings(tmp_path) is None
    other = LocalEmbedder(EmbeddingConfig(model=str(tmp_path)))
    expected = reference.encode(TEXTS[:5], normalize_embeddings=True)
    np.testing.assert_allclose(other.encode(TEXTS[:5]), expected, atol=2e-6)
    assert (other.dimension, other.max_tokens) == (384, 254)
    assert other.count_tokens(TEXTS[:5]) == [0, 1, 7, 29, 145]
    assert other.name.startswith(f"{tmp_path.name}@")


def test_vectors_are_float32_unit_rows_in_the_order_of_the_texts(embedder: Embedder) -> None:
    vectors = embedder.encode(TEXTS)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(TEXTS), embedder.dimension))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for index, text in enumerate(TEXTS):
        # Alone, a text is padded with nothing.
        assert float(vectors[index] @ embedder.encode([text])[0]) > 0.9995
    assert embedder.encode([]).shape == (0, 384)


def test_a_text_within_the_limit_is_read_to_its_last_word(embedder: Embedder) -> None:
    """And one beyond it is not: that is why windows are cut."""
    filler = "bond " * 253
    assert embedder.count_tokens([filler + "zebra"]) == [254]
    near, far = embedder.encode([filler + "zebra", filler + "piano"]), embedder.encode([filler + "bond zebra"] * 2)
    assert float(near[0] @ near[1]) < 0.999
    assert float(far[0] @ embedder.encode([filler + "bond piano"])[0]) > 0.9995


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=80), max_size=5))
def test_counts_are_those_of_the_tokenizer(embedder: Embedder, reference: Any, texts: list[str]) -> None:
    rows = [reference.tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"] for text in texts]
    assert embedder.count_tokens(texts) == [len(row) for row in rows]


def test_threads_get_the_vectors_of_their_own_texts(embedder: Embedder) -> None:
    texts = TEXTS[:5]
    alone = [embedder.encode([text])[0] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: embedder.encode([text])[0], texts * 4))
    for index, vector in enumerate(together):
        assert float(vector @ alone[index % len(texts)]) > CLOSE


def test_it_loads_at_first_use_and_once() -> None:
    lazy = create_embedder(RagConfig())
    assert lazy.name
    assert not lazy.loaded
    seen: list[Progress] = []
    lazy.load(seen.append)
    assert lazy.loaded
    assert [progress.stage for progress in seen] == ["loading"]
    lazy.load(seen.append)
    assert len(seen) == 1


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        LocalEmbedder(EmbeddingConfig(model=str(tmp_path / "none"))).load()


@pytest.mark.parametrize("broken", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_folder_is_told_with_what_to_do(folder: Path, tmp_path: Path, broken: str) -> None:
    for path in folder.iterdir():
        if path.name != broken:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / broken).write_bytes(b"{ not one")
    embedder = LocalEmbedder(EmbeddingConfig(model=str(tmp_path)))
    with pytest.raises(ModelLoadError, match="RAG_EMBEDDER") as caught:
        embedder.encode(["text"])
    assert isinstance(caught.value, RagError)
    assert "\n" not in str(caught.value)
    assert not embedder.loaded


def test_a_changed_model_has_another_name(folder: Path, tmp_path: Path) -> None:
    """The name keys the index: other weights in the same folder must not be taken for the ones before."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    before = LocalEmbedder(EmbeddingConfig(model=str(tmp_path))).name
    assert LocalEmbedder(EmbeddingConfig(model=str(tmp_path))).name == before
    content = (tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_bytes(content.replace(b"bond", b"dnob", 1))
    assert LocalEmbedder(EmbeddingConfig(model=str(tmp_path))).name != before


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "mpnet"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}),
    ],
)
def test_a_model_of_another_build_is_not_taken_for_the_lean_one(
    folder: Path, tmp_path: Path, file: str, change: dict[str, Any]
) -> None:
    for path in folder.iterdir():
        if path.name != file.split("/")[0]:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    stated = {} if "Pooling" in file else json.loads((folder / file).read_text())
    (tmp_path / file).write_text(json.dumps({**stated, **change}))
    assert read_settings(tmp_path) is None


def test_ids_beyond_the_limit_are_refused_rather_than_dropped(folder: Path) -> None:
    found = read_settings(folder)
    assert found is not None
    encoder = BertEncoder(folder, found, "cpu")
    with pytest.raises(ValueError, match="256"):
        encoder.encode([[101, *[1012] * 255, 102]], 1)
