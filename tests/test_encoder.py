"""The encoder over products of bytes: its arithmetic number by number, and its vectors beside those of float32."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rag_core import RagConfig
from rag_core.config import EmbeddingConfig
from rag_core.encoder.bert import BertEncoder, BertSettings, read_settings
from rag_core.encoder.embedding import LocalEmbedder
from rag_core.encoder.packed import PackedEncoder, multiplies_bytes
from rag_core.engines.jit import ENCODING, load_kernels
from rag_core.models import fetch, resolve_embedder

pytestmark = [
    pytest.mark.skipif(not multiplies_bytes(), reason="this processor has no products of bytes"),
    pytest.mark.usefixtures("one_thread"),
]
SAMPLES = Path(__file__).parent.parent / "sample_files"
CACHE = RagConfig().cache_directory
NUMBERS = st.floats(-1e6, 1e6, width=32)


@pytest.fixture(scope="module")
def folder() -> Path:
    return fetch(resolve_embedder(EmbeddingConfig()))


@pytest.fixture(scope="module")
def kernels() -> Any:
    return load_kernels(CACHE, ENCODING)


def rounded(kernels: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bytes of x, their scales, and the numbers that they stand for."""
    groups = x.shape[1] // 96
    found, scales = np.full(x.shape, 77, dtype=np.uint8), np.zeros((len(x), groups, 2), dtype=np.float32)
    kernels.round_rows(x, len(x), found, scales)
    values = found.reshape(len(x), groups, 96) * scales[..., :1] - scales[..., 1:]
    return found, scales, values.reshape(x.shape)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=96, max_size=96))
def test_rounding_to_bytes_is_off_by_half_a_step_at_most(kernels: Any, numbers: list[float]) -> None:
    x = np.array([numbers + [0.0] * 96], dtype=np.float32)
    _, scales, values = rounded(kernels, x)
    span = max(0.0, float(x[0, :96].max())) - min(0.0, float(x[0, :96].min()))
    assert scales[0, 0, 0] == pytest.approx(max(span, 1e-30) / 255, rel=1e-5)
    assert np.abs(values - x).max() <= span / 255 * 0.502
    # Zero stands for itself, and one group's numbers do not touch another's.
    assert not values[x == 0].any()


def test_products_are_those_of_the_rounded_numbers(kernels: Any) -> None:
    from rag_core.encoder.packed import _packed

    random = np.random.default_rng(7)
    weights = {
        "a.weight": random.standard_normal((32, 192)).astype(np.float32),
        "b.weight": random.standard_normal((64, 192)).astype(np.float32) * 30,
        "a.bias": random.standard_normal(32).astype(np.float32),
        "b.bias": random.standard_normal(64).astype(np.float32),
    }
    data, factors, bias = _packed(weights, ("a", "b"))
    x = random.standard_normal((12, 192)).astype(np.float32)
    found, scales, values = rounded(kernels, x)
    out = np.zeros((12, 96), dtype=np.float32)
    kernels.multiply(0, 3, data, factors, bias, found, scales, 12, out)
    # [tile, input / 4, output, 4] back to [output, input].
    whole = data.transpose(0, 2, 1, 3).reshape(96, 2, 96) * factors[:, :, 0].transpose(0, 2, 1).reshape(96, 2, 1)
    matrix = np.concatenate([weights["a.weight"], weights["b.weight"]])
    assert np.abs(whole.reshape(96, 192) - matrix).max() <= np.abs(matrix).max() / 254 * 1.01
    np.testing.assert_allclose(out, values @ whole.reshape(96, 192).T + bias, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("instruction", [True, False])
def test_products_of_pairs_are_those_of_bfloat16(monkeypatch: pytest.MonkeyPatch, instruction: bool) -> None:
    from numba import njit

    from rag_core.encoder import pairs

    if instruction and not pairs._has_instruction():
        pytest.skip("this processor has no such instruction")
    monkeypatch.setattr(pairs, "_has_instruction", lambda: instruction)
    narrow, weave, multiply = pairs.narrow, pairs.weave, pairs.pairs_8

    @njit
    def run(x: Any, tile: Any, asked: Any, kept: Any, out: Any) -> None:
        for row in range(8):
            narrow(x[row].ctypes.data, np.float32(1), asked[row].ctypes.data, x.shape[1] // 16)
        for k in range(len(kept)):
            weave(tile[2 * k].ctypes.data, tile[2 * k + 1].ctypes.data, kept[k].ctypes.data, 2)
        multiply(kept.ctypes.data, asked.ctypes.data, asked.strides[0], out.ctypes.data, out.strides[0], len(kept))

    random = np.random.default_rng(11)
    x, tile = (random.standard_normal(shape).astype(np.float32) for shape in ((8, 48), (48, 32)))
    out = np.zeros((8, 32), dtype=np.float32)
    run(x, tile, np.zeros((8, 24), np.int32), np.zeros((24, 32), np.int32), out)
    near, far = ((((value.view(np.int32) + 0x8000) >> 16) << 16).view(np.float32) for value in (x, tile))
    np.testing.assert_allclose(out, near @ far, atol=2e-5)
    assert 0 < np.abs(out - x @ tile).max() < 0.1


@pytest.mark.parametrize("count", [1, 15, 16, 17, 32, 100])
def test_shares_are_powers_of_two_rounded_to_bfloat16(count: int) -> None:
    from numba import njit

    from rag_core.encoder.shares import weigh
    from rag_core.engines.products import OPTIONS

    # With the arithmetic that the encoder is compiled with, which may reorder sums.
    @njit(fastmath=OPTIONS["fastmath"])
    def run(scores: Any, count: int, out: Any) -> Any:
        return weigh(scores.ctypes.data, count, out.ctypes.data)

    scores = (np.random.default_rng(count).standard_normal(count + 16) * 40).astype(np.float32)
    # What stands behind the last counts for nothing.
    scores[count:] = 1e9
    out = np.full(count // 2 + 16, -1, dtype=np.int32)
    total = run(scores, count, out)
    exact = np.exp2(np.maximum(scores[:count].astype(np.float64) - scores[:count].max(), -126))
    assert total == pytest.approx(exact.sum(), rel=1e-4)
    found = (out.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(found[:count], exact, rtol=2**-8, atol=1e-37)
    assert not found[count : (count // 16 + 1) * 16].any()


def test_vectors_are_close_to_those_of_float32(folder: Path) -> None:
    found = read_settings(folder)
    assert found is not None
    packed = opened(folder, found)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = [path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("*.md")) + sorted(SAMPLES.glob("*.txt"))]
    tokens = [row.ids for row in tokenizer.encode_batch(texts, add_special_tokens=False)]
    lengths = [3, 7, 31, 32, 33, 64, 100, 127, 128, 129, 200, 255, 256, 5, 5]
    ids = [[101, *row[at : at + length - 2], 102] for row in tokens for at in (0, 150) for length in lengths]
    expected = BertEncoder(folder, found, "cpu", reduced=False).encode(ids, 8)
    vectors = packed.encode(ids)
    cosines = (vectors * expected).sum(axis=1)
    assert cosines.mean() > 0.9995
    assert cosines.min() > 0.998
    assert min(cosine for row, cosine in zip(ids, cosines, strict=True) if len(row) > 30) > 0.999
    # A text's vector does not depend on what stands beside it.
    for row, vector in zip(ids, vectors, strict=True):
        np.testing.assert_allclose(packed.encode([row])[0], vector, atol=1e-6)
    assert packed.encode([]).shape == (0, 384)


def opened(folder: Path, found: BertSettings) -> PackedEncoder:
    from safetensors.numpy import load_file

    weights = load_file(folder / "model.safetensors")
    return PackedEncoder({name.removeprefix("bert."): value for name, value in weights.items()}, found, CACHE)


def test_states_of_pairs_are_those_of_the_plain_encoder(folder: Path) -> None:
    found = read_settings(folder)
    assert found is not None
    packed, plain = opened(folder, found), BertEncoder(folder, found, "cpu", reduced=False)
    draw = np.random.default_rng(5)
    lengths = [(3, 1), (20, 7), (130, 12), (384, 30), (64, 64)]
    pairs = [(draw.integers(1_000, 30_000, length).tolist(), second) for length, second in lengths]
    for mine, theirs in zip(packed.states(pairs), plain.states(pairs), strict=True):
        expected = theirs.numpy()
        assert mine.shape == expected.shape
        assert mine.dtype == np.float32
        cosines = (mine * expected).sum(axis=1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.mean() > 0.999
        assert cosines.min() > 0.99
    # Where the second segment starts tells, and what stands beside a pair does not.
    (ids, second), (alone,) = pairs[1], packed.states(pairs[1:2])
    np.testing.assert_allclose(packed.states(pairs)[1], alone, atol=1e-5)
    assert np.abs(packed.states([(ids, second + 5)])[0] - alone).max() > 0.01
    assert packed.states([]) == []
    with pytest.raises(ValueError, match="more than 512 tokens"):
        packed.states([([101] * 513, 4)])


def test_what_it_cannot_read_is_refused(folder: Path) -> None:
    found = read_settings(folder)
    assert found is not None
    packed = opened(folder, found)
    with pytest.raises(ValueError, match="more than 256 tokens"):
        packed.encode([[101] * 257])
    for token in (-1, 30_522):
        with pytest.raises(ValueError, match="vocabulary"):
            packed.encode([[101, token, 102]])


def write_model(folder: Path, *, width: int, heads: int, pooling: str = "mean") -> Path:
    """Write a small random encoder, with MiniLM's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(5)
    shape = BertConfig(
        hidden_size=width, num_attention_heads=heads, num_hidden_layers=2, intermediate_size=2 * width,
        max_position_embeddings=256,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder)
    modules = [{"type": f"x.{kind}", "path": path} for kind, path in zip(KINDS, ("", "1_Pooling", ""), strict=True)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    source = fetch(resolve_embedder(EmbeddingConfig())) / "tokenizer.json"
    (folder / "tokenizer.json").symlink_to(source)
    return folder


KINDS = ("Transformer", "Pooling", "Normalize")


@pytest.mark.parametrize(("width", "heads", "pooling"), [(192, 6, "mean"), (192, 3, "cls"), (96, 3, "cls")])
def test_other_shapes_and_the_first_token_as_vector(tmp_path: Path, width: int, heads: int, pooling: str) -> None:
    write_model(tmp_path, width=width, heads=heads, pooling=pooling)
    found = read_settings(tmp_path)
    assert found is not None
    assert found.pooling == pooling
    ids = [[101, 2_054, 2_003, 102], [101, *range(2_000, 2_090), 102]]
    expected = BertEncoder(tmp_path, found, "cpu", reduced=False).encode(ids, 8)
    assert (opened(tmp_path, found).encode(ids) * expected).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(("width", "heads"), [(128, 4), (192, 12)])
def test_a_shape_that_does_not_divide_runs_on_torch(tmp_path: Path, width: int, heads: int) -> None:
    embedder = LocalEmbedder(EmbeddingConfig(model=str(write_model(tmp_path, width=width, heads=heads))))
    assert embedder.encode(["What is a bond?"]).shape == (1, width)
    assert isinstance(embedder._model._encoder, BertEncoder)  # type: ignore[union-attr]


def test_without_the_instruction_torch_gives_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["What is the net asset value?", "Revenue rose to $1,452.4 million."]
    packed = LocalEmbedder(EmbeddingConfig())
    vectors = packed.encode(texts)
    assert isinstance(packed._model._encoder, PackedEncoder)  # type: ignore[union-attr]
    monkeypatch.setattr("rag_core.encoder.packed.multiplies_bytes", lambda: False)
    plain = LocalEmbedder(EmbeddingConfig())
    assert (plain.encode(texts) * vectors).sum(axis=1).min() > 0.999
    assert isinstance(plain._model._encoder, BertEncoder)  # type: ignore[union-attr]


def test_a_failure_in_a_helping_thread_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_settings(folder)
    assert found is not None
    packed = opened(folder, found)

    class NoMemory:
        @staticmethod
        def encode_pieces(*_: object) -> None:
            raise MemoryError("no memory for the scratch")

    monkeypatch.setattr(packed, "_kernels", NoMemory)
    with pytest.raises(MemoryError, match="scratch"):
        packed.encode([[101, 102]] * 300)


def test_a_helper_that_comes_when_all_is_done_counts_nothing_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(folder)
    assert settings is not None
    encoder = opened(folder, settings)
    late: list[Callable[[int], None]] = []

    class Busy:
        """A team whose helper is kept from its work until the call has returned."""

        def run(self, job: Callable[[int], None]) -> None:
            job(0)
            late.append(job)

    monkeypatch.setattr("rag_core.encoder.pieces.team_of", lambda *_: Busy())
    ids = [[101, 2054, 2003, 102]] * 40
    encoder.encode(ids)
    gc.collect()
    # Memory of the same size that was freed by the call is given out again.
    others = [np.zeros(2, dtype=np.int64) for _ in range(2_000)]
    for job in late:
        job(1)
    assert not any(other.any() for other in others)
