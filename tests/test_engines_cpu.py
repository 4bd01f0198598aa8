"""The CPU engine against transformers in float32: the same weights, the same logits, the same greedy tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import WORDS, tiny_model

from rag_core.config import GenerationConfig
from rag_core.engines.cpu import CpuEngine
from rag_core.engines.llama import MOST_LOGITS, MOST_ROWS, LlamaModel, read_settings
from rag_core.engines.local import model_folder, stop_ids
from rag_core.engines.packing import pack_gguf, pack_tensor
from rag_core.engines.tokens import ChatTokenizer
from rag_core.errors import ModelLoadError
from rag_core.models import resolve_generator
from rag_core.records import Message

SYSTEM = "You are an assistant that answers questions using the given passages."
# (samples, characters of them, question): prompts of 190 to 650 tokens, read in one part, in two and in three.
ASKED = (
    (("haircut.txt",), 600, "Answer in three words: what is this about?"),
    (("options.md",), 1_200, "What does a put option give its holder the right to do?"),
    (
        ("options.md",),
        1_000,
        "Based on the passages above, answer the question in one sentence. What is a call option?",
    ),
    (("working_capital.md", "credit_spread.txt"), 2_700, "Repeat the first sentence of the passages word for word."),
)
ANSWER_TOKENS = 34
CLOSE = 2e-3


@dataclass(frozen=True)
class Asked:
    prompt: list[int]
    answer: list[int]
    finish: str | None


def answer_of(engine: CpuEngine, prompt: Sequence[int], tokens: int = ANSWER_TOKENS) -> tuple[list[int], str | None]:
    steps = list(engine.generate(prompt, tokens))
    assert [step.finish for step in steps[:-1]] == [None] * (len(steps) - 1)
    return [token for step in steps for token in step.tokens], steps[-1].finish


@pytest.fixture(scope="module")
def folder(cache_directory: Path) -> Path:
    return model_folder(resolve_generator(GenerationConfig(device="cpu")), cache_directory)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ChatTokenizer:
    return ChatTokenizer(folder)


@pytest.fixture(scope="module")
def engine(folder: Path, tokenizer: ChatTokenizer, cache_directory: Path) -> CpuEngine:
    settings = read_settings(folder)
    assert settings is not None
    return CpuEngine(folder, settings, stop_ids(folder, tokenizer), cache_directory, threads=2)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


@pytest.fixture(scope="module")
def their_logits(reference: Any, asked: list[Asked]) -> list[np.ndarray]:
    """Of each prompt and our answer behind it, in one pass."""
    import torch

    with torch.inference_mode():
        return [reference(torch.tensor([item.prompt + item.answer])).logits[0].numpy() for item in asked]


@pytest.fixture(scope="module")
def asked(engine: CpuEngine, tokenizer: ChatTokenizer, samples: Path) -> list[Asked]:
    """Our greedy answers, without prompt lookup and each read from its start."""
    plain = CpuEngine(Path(), engine.model.settings, engine._stop_ids, Path(), prompt_lookup=False, model=engine.model)
    found = []
    for names, length, question in ASKED:
        passage = "\n\n".join((samples / name).read_text(encoding="utf-8") for name in names)[:length]
        prompt = tokenizer.encode([Message("system", SYSTEM), Message("user", f"{passage}\n\n{question}")])
        plain.forget()
        found.append(Asked(prompt, *answer_of(plain, prompt)))
    return found


# The embedded model --------------------------------------------------------------------------------------------------


def test_the_prompts_take_every_path(asked: list[Asked]) -> None:
    lengths = [len(item.prompt) for item in asked]
    assert min(lengths) < MOST_ROWS < 2 * MOST_ROWS < max(lengths)
    assert {item.finish for item in asked} == {"stop", "length"}


def test_greedy_tokens_are_those_of_transformers_in_float32(
    asked: list[Asked], engine: CpuEngine, their_logits: list[np.ndarray]
) -> None:
    """One pass of the reference over prompt and answer tells its own greedy choice at each place of the answer.

    While all agree, that is what it would have generated. Both sum in float32 and in another order, so where its two
    best words are nearer than that rounding, either may win: such a tie is allowed, and what follows is still judged
    token by token. None is known in these answers.
    """
    ties = 0
    for item, all_logits in zip(asked, their_logits, strict=True):
        logits = all_logits[len(item.prompt) - 1 :]
        for row, token in zip(logits, item.answer, strict=False):
            if int(row.argmax()) != token:
                assert float(row.max() - row[token]) < CLOSE
                ties += 1
        if item.finish == "stop":
            assert int(logits[len(item.answer)].argmax()) in engine._stop_ids
        else:
            assert len(item.answer) == ANSWER_TOKENS
    assert ties <= 1
    assert sum(len(item.answer) for item in asked) > 100


def test_what_transformers_generates_is_the_same(asked: list[Asked], engine: CpuEngine, reference: Any) -> None:
    import torch

    item = asked[0]
    assert item.finish == "stop"
    stops = sorted(engine._stop_ids)
    ids = torch.tensor([item.prompt])
    out = reference.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=ANSWER_TOKENS, do_sample=False, eos_token_id=stops,
        pad_token_id=stops[0],
    )  # fmt: skip
    *made, last = out[0, len(item.prompt) :].tolist()
    assert made == item.answer
    assert last in stops


def test_logits_are_close_all_along_a_prompt(
    asked: list[Asked], engine: CpuEngine, their_logits: list[np.ndarray]
) -> None:
    item, theirs = max(zip(asked, their_logits, strict=True), key=lambda pair: len(pair[0].prompt))
    model = engine.model
    engine.forget()
    model.reserve(len(item.prompt))
    place = 0
    for skipped in (0, 40, 200, 256, 3):
        if skipped:
            model.forward(item.prompt[place : place + skipped], place, logits=False)
        place += skipped
        ours = model.forward(item.prompt[place : place + MOST_LOGITS], place, logits=True)
        assert np.abs(ours - theirs[place : place + MOST_LOGITS]).max() < CLOSE
        place += MOST_LOGITS


def test_prompt_lookup_gives_the_same_tokens(asked: list[Asked], engine: CpuEngine) -> None:
    passes = 0
    read = engine.model.forward

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal passes
        passes += 1
        return read(*arguments, **options)

    engine.model.forward = counted  # type: ignore[method-assign]
    try:
        for item in asked:
            engine.forget()
            assert answer_of(engine, item.prompt) == (item.answer, item.finish)
    finally:
        del engine.model.forward
    # It is of use: fewer passes than tokens, those that read the prompts among them.
    assert passes < sum(len(item.answer) for item in asked)


def test_a_prompt_that_begins_like_the_last_is_read_from_where_it_differs(
    asked: list[Asked], engine: CpuEngine
) -> None:
    first, other = asked[1], asked[0]
    engine.forget()
    assert answer_of(engine, first.prompt) == (first.answer, first.finish)
    steps = list(engine.generate(first.prompt, ANSWER_TOKENS))
    assert {step.cached for step in steps} == {len(first.prompt) - 1}
    assert [token for step in steps for token in step.tokens] == first.answer
    # Another prompt shares its beginning alone; a continued conversation shares the answer as well.
    same = next(i for i, (a, b) in enumerate(zip(first.prompt, other.prompt, strict=False)) if a != b)
    steps = list(engine.generate(other.prompt, ANSWER_TOKENS))
    assert {step.cached for step in steps} == {same}
    assert [token for step in steps for token in step.tokens] == other.answer
    longer = [*other.prompt, *other.answer[:5], *first.prompt[:30]]
    steps = list(engine.generate(longer, 8))
    assert steps[0].cached == len(other.prompt) + 5
    engine.forget()
    assert answer_of(engine, longer, 8)[0] == [token for step in steps for token in step.tokens]


def test_closing_stops_before_the_next_pass(asked: list[Asked], engine: CpuEngine) -> None:
    passes: list[int] = []
    read = engine.model.forward

    def counted(ids: Sequence[int], *arguments: Any, **options: Any) -> Any:
        passes.append(len(ids))
        return read(ids, *arguments, **options)

    item = max(asked, key=lambda item: len(item.prompt))
    engine.forget()
    engine.model.forward = counted  # type: ignore[method-assign]
    try:
        steps = engine.generate(item.prompt, ANSWER_TOKENS)
        step = next(steps)
        assert step.tokens == ()
        steps.close()  # type: ignore[attr-defined]
        assert passes == [passes[0]]
        assert passes[0] <= MOST_ROWS
        # Half a prompt is in the cache now, and serves.
        steps = engine.generate(item.prompt, ANSWER_TOKENS)
        step = next(step for step in steps if step.tokens)
        assert step.cached == passes[0]
        before = len(passes)
        steps.close()  # type: ignore[attr-defined]
        assert len(passes) == before
        assert answer_of(engine, item.prompt)[0] == item.answer
    finally:
        del engine.model.forward


# Small models of other shapes ----------------------------------------------------------------------------------------

SHAPES: dict[str, dict[str, Any]] = {
    "grouped heads, wider than the model": {},
    "one head each": {"num_key_value_heads": 4, "head_dim": 64, "hidden_size": 96},
    "one shared head, tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "mistral, fast turns": {"kind": "mistral", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "bfloat16 in the file": {"dtype": "bfloat16"},
}


def two_of(folder: Path, cache: Path, threads: int = 2) -> tuple[LlamaModel, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    settings = read_settings(folder)
    assert settings is not None
    model = LlamaModel(folder, settings, threads, cache)
    return model, AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes_give_the_logits_of_transformers(shape: str, tmp_path: Path, cache_directory: Path) -> None:
    import torch

    model, theirs = two_of(tiny_model(tmp_path / "model", **SHAPES[shape]), cache_directory)
    ids = np.random.default_rng(3).integers(0, WORDS, 300).tolist()
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    # Room for a few at first: what is cached must survive when the cache grows.
    model.reserve(1)
    model.forward(ids[:200], 0, logits=False)
    model.reserve(2_000)
    place = 200
    for count in (1, 12, 7, 40, 4, 1, 11):
        found = model.forward(ids[place : place + count], place, logits=count <= MOST_LOGITS)
        assert np.allclose(found, expected[place : place + len(found)], atol=1e-3)
        place += count


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(threads: int, tmp_path: Path, cache_directory: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    ids = np.random.default_rng(4).integers(0, WORDS, 60).tolist()
    found = []
    for count in (2, threads):
        settings = read_settings(folder)
        assert settings is not None
        model = LlamaModel(folder, settings, count, cache_directory)
        model.reserve(100)
        model.forward(ids[:50], 0, logits=False)
        found.append(model.forward(ids[50:], 50, logits=True).copy())
    assert np.array_equal(found[0], found[1])


def test_two_models_at_once_do_not_disturb_each_other(tmp_path: Path, cache_directory: Path) -> None:
    """They share the helping threads of the process."""
    folder = tiny_model(tmp_path / "model")
    settings = read_settings(folder)
    assert settings is not None
    prompts = [np.random.default_rng(seed).integers(3, WORDS, 40).tolist() for seed in range(2)]

    def new() -> CpuEngine:
        return CpuEngine(folder, settings, frozenset(), cache_directory, threads=2)

    alone = [answer_of(new(), prompt, 60)[0] for prompt in prompts]
    engines, together = [new(), new()], [[], []]
    start = threading.Barrier(2)

    def work(number: int) -> None:
        start.wait()
        together[number] = answer_of(engines[number], prompts[number], 60)[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_the_length_limit_and_the_stop_token_are_kept(tmp_path: Path, cache_directory: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    settings = read_settings(folder)
    assert settings is not None
    prompt = [5, 6, 7, 5, 6]
    free, finish = answer_of(CpuEngine(folder, settings, frozenset(), cache_directory), prompt, 30)
    assert (len(free), finish) == (30, "length")
    place = next(i for i in range(5, 30) if free[i] not in free[:i])
    stopping = CpuEngine(folder, settings, frozenset({free[place]}), cache_directory)
    assert answer_of(stopping, prompt, 30) == (free[:place], "stop")
    assert answer_of(stopping, prompt, place) == (free[:place], "length")
    assert answer_of(stopping, prompt, 1) == (free[:1], "length")
    at_once = CpuEngine(folder, settings, frozenset({free[0]}), cache_directory)
    assert answer_of(at_once, prompt, 30) == ([], "stop")


# Weights -------------------------------------------------------------------------------------------------------------


def unpacked(matrix: Any, cache: Path) -> np.ndarray:
    from rag_core.engines.jit import load_kernels

    load_kernels(cache)  # says where what is compiled is kept
    from rag_core.engines import products

    entry = np.array(matrix.entry, dtype=np.int64)
    tiles = []
    for tile in range(matrix.tiles):
        out = np.empty((matrix.inputs, 32), dtype=np.float32)
        products.unpack(entry, tile, out)
        tiles.append(out.T)
    return np.concatenate(tiles)[: matrix.outputs]


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_no_bit_of_a_quantised_weight_changes(kind: str, cache_directory: Path) -> None:
    from gguf import GGMLQuantizationType, quants

    weights = np.random.default_rng(5).standard_normal((70, 96)).astype(np.float32)
    raw = quants.quantize(weights, GGMLQuantizationType[kind])
    matrix = pack_gguf(raw, kind, 70, 96)
    assert matrix is not None
    assert np.array_equal(unpacked(matrix, cache_directory), quants.dequantize(raw, GGMLQuantizationType[kind]))
    assert pack_gguf(raw, "Q6_K", 70, 96) is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_plain_weights_stay_what_they_are(dtype: str, cache_directory: Path) -> None:
    import torch

    weights = torch.randn(33, 64).to(getattr(torch, dtype))
    assert np.array_equal(unpacked(pack_tensor(weights), cache_directory), weights.float().numpy())


def test_missing_and_misshapen_weights_are_told_by_name(tmp_path: Path, cache_directory: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_model(tmp_path / "model")
    settings = read_settings(folder)
    assert settings is not None
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({key: value for key, value in weights.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"lacks the weight model\.layers\.1\.mlp\.up_proj\.weight"):
        LlamaModel(folder, settings, 1, cache_directory)
    save_file({**weights, name: weights[name][:32].contiguous()}, folder / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"is \(32, 64\) and config\.json says \(96, 64\)"):
        LlamaModel(folder, settings, 1, cache_directory)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"kind": "mistral", "sliding_window": 512}, True),
        ({"kind": "mistral", "sliding_window": 128}, False),
        ({"attention_bias": True}, False),
        ({"mlp_bias": True}, False),
        ({"hidden_act": "gelu"}, False),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, False),
        ({"intermediate_size": 100}, False),
    ],
)
def test_only_models_that_it_computes_exactly_are_taken(changes: dict[str, Any], fits: bool, tmp_path: Path) -> None:
    assert (read_settings(tiny_model(tmp_path / "model", **changes)) is not None) is fits


def test_settings_that_change_the_greedy_choice_are_left_to_transformers(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    (folder / "generation_config.json").write_text('{"repetition_penalty": 1.2}')
    assert read_settings(folder) is None
    (folder / "generation_config.json").write_text('{"temperature": 0.7, "top_p": 0.9, "do_sample": true}')
    assert read_settings(folder) is not None
