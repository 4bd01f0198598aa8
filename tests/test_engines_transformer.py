"""The engine over transformers' own generate, with small real models; and the window in which a GPU is lent."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_model

from rag_core.engines import gpu_window, transformer
from rag_core.engines.memory import weight_counts
from rag_core.engines.steps import Step
from rag_core.engines.transformer import TransformersEngine
from rag_core.errors import BusyError, ConfigError, ModelError, ModelLoadError, OutOfMemoryError, QuestionError

ROOT = Path(__file__).parent.parent
PROMPT = [1, 20, 21, 22, 20, 21]
NONE: frozenset[int] = frozenset()


@pytest.fixture(scope="module", params=["llama", "mistral"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    window = {"sliding_window": 64} if request.param == "mistral" else {}
    return tiny_model(tmp_path_factory.mktemp("models") / request.param, request.param, **window)


@pytest.fixture(scope="module")
def engine(folder: Path) -> TransformersEngine:
    return TransformersEngine(folder, NONE, device="cpu")


def greedy(folder: Path, prompt: list[int], tokens: int) -> list[int]:
    """What the model says, computed afresh for each token, without generate and without a cache."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(str(folder))
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(tokens):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def tokens_of(steps: list[Step]) -> list[int]:
    return [token for step in steps for token in step.tokens]


def test_tokens_are_the_model_s_greedy_ones_step_by_step(folder: Path, engine: TransformersEngine) -> None:
    steps = list(engine.generate(PROMPT, 20))
    assert tokens_of(steps) == greedy(folder, PROMPT, 20)
    assert [step.finish for step in steps] == [None] * (len(steps) - 1) + ["length"]
    assert len(steps) > 3
    assert engine.description == "CPU, float32"


def test_prompt_lookup_changes_nothing_but_the_number_of_passes(folder: Path, engine: TransformersEngine) -> None:
    plain = TransformersEngine(folder, NONE, device="cpu", prompt_lookup=False)
    passes = []
    handles = [
        each._model.register_forward_pre_hook(lambda *_, name=name: passes.append(name))
        for name, each in (("lookup", engine), ("plain", plain))
    ]
    prompt = PROMPT * 4
    with_lookup, without = (tokens_of(list(each.generate(prompt, 60))) for each in (engine, plain))
    for handle in handles:
        handle.remove()
    assert with_lookup == without
    assert passes.count("plain") == 60
    assert passes.count("lookup") <= 60


def test_length_and_stop_tokens_are_kept(folder: Path, engine: TransformersEngine) -> None:
    free = tokens_of(list(engine.generate(PROMPT, 30)))
    assert len(free) == 30
    place = next(i for i in range(3, 30) if free[i] not in free[:i])
    stopping = TransformersEngine(folder, frozenset({free[place]}), device="cpu")
    for limit, finish in ((30, "stop"), (place, "length"), (1, "length")):
        steps = list(stopping.generate(PROMPT, limit))
        assert tokens_of(steps) == free[: min(limit, place)]
        assert steps[-1].finish == finish
    steps = list(TransformersEngine(folder, frozenset({free[0]}), device="cpu").generate(PROMPT, 30))
    assert tokens_of(steps) == []
    assert steps[-1].finish == "stop"


def test_closing_stops_within_one_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the stop is set, the pass under way may end and one that was already decided on may follow."""
    engine = TransformersEngine(folder, NONE, device="cpu", prompt_lookup=False)
    passes = 0
    at_stop: list[int] = []

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    class Stop(threading.Event):
        def set(self) -> None:
            super().set()
            at_stop.append(passes)

    class Threading:
        Event, Thread = Stop, threading.Thread

    monkeypatch.setattr(transformer, "threading", Threading)
    engine._model.register_forward_pre_hook(count)
    steps = engine.generate(PROMPT, 500)
    assert next(steps).tokens
    steps.close()  # type: ignore[attr-defined]
    assert len(at_stop) == 1
    assert passes - at_stop[0] <= 1
    assert not [thread for thread in threading.enumerate() if thread.name == "generation"]
    assert len(tokens_of(list(engine.generate(PROMPT, 5)))) == 5


def test_a_failure_inside_generate_reaches_the_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TransformersEngine(folder, NONE, device="cpu")
    with pytest.raises(ModelLoadError, match="The model does not run"):
        list(engine.generate([1, 20, 100_000], 5))  # no such word
    handle = engine._model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemoryError):
        list(engine.generate(PROMPT, 5))
    handle.remove()
    assert len(tokens_of(list(engine.generate(PROMPT, 5)))) == 5


def test_a_model_s_own_sampling_settings_do_not_make_it_sample(folder: Path, tmp_path: Path) -> None:
    settings = '{"do_sample": true, "temperature": 0.9, "top_k": 3, "num_beams": 2, "max_length": 7, "eos_token_id": 2}'
    copy = tmp_path / "sampling"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "generation_config.json").write_text(settings)
    assert tokens_of(list(TransformersEngine(copy, NONE, device="cpu").generate(PROMPT, 20))) == greedy(
        folder, PROMPT, 20
    )


# Four bits -----------------------------------------------------------------------------------------------------------


def test_four_bits_are_taken_where_sixteen_do_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 2 * sum(weight_counts(folder).values()) + (2 << 30)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(transformer, "free_gpu_bytes", lambda device: needed)
    assert transformer._short_of_memory(folder, "cuda:0") is False
    monkeypatch.setattr(transformer, "free_gpu_bytes", lambda device: needed - 1)
    assert transformer._short_of_memory(folder, "cuda:0") is True
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelLoadError, match="pip install bitsandbytes"):
        transformer._short_of_memory(folder, "cuda:0")


@pytest.mark.parametrize(
    ("asked", "lent", "short", "four_bit"),
    [
        (False, False, False, False),
        (True, False, False, True),
        (False, False, True, True),
        # A lent GPU cannot be asked for its memory before it is there; ZeroGPU's have enough.
        (False, True, True, False),
        (True, True, False, True),
    ],
)
def test_the_flag_or_scarce_memory_choose_the_precision(
    asked: bool, lent: bool, short: bool, four_bit: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, which is not here: what would be loaded there is noted instead."""
    loaded: list[tuple[str, Any, bool]] = []
    monkeypatch.setattr(transformer, "_short_of_memory", lambda folder, device: short)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(transformer, "_load", lambda folder, *how: loaded.append(how))
    engine = TransformersEngine(folder, NONE, device="cuda", load_in_4bit=asked, lent_gpu=lent)
    assert [(device, str(dtype), four) for device, dtype, four in loaded] == [("cuda", "torch.bfloat16", four_bit)]
    assert engine.description == ("GPU, NF4" if four_bit else "GPU, bfloat16")
    # In few bits, checking several guesses in one pass can change which word wins.
    assert not engine._lookup


def test_a_gpu_without_bfloat16_computes_in_float16(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "_short_of_memory", lambda folder, device: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: False)
    monkeypatch.setattr(transformer, "_load", lambda folder, *how: None)
    assert TransformersEngine(folder, NONE, device="cuda").description == "GPU, float16"
    with pytest.raises(ConfigError, match="need a CUDA GPU"):
        TransformersEngine(folder, NONE, device="cpu", load_in_4bit=True)


def test_bitsandbytes_loads_four_bits_and_they_generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For real, on the CPU, which bitsandbytes knows too; on a GPU the call differs in the device alone."""
    import bitsandbytes
    import torch

    folder = tiny_model(tmp_path / "model", "mistral", intermediate_size=128)
    whole, model = (transformer._load(folder, "cpu", torch.float32, four_bit) for four_bit in (False, True))
    matrices = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(matrices) == 14
    assert {matrix.weight.quant_type for matrix in matrices} == {"nf4"}
    assert all(matrix.weight.quant_state.nested for matrix in matrices)
    monkeypatch.setattr(transformer, "_load", lambda folder, *how: model)
    engine = TransformersEngine(folder, NONE, device="cpu")
    assert len(tokens_of(list(engine.generate(PROMPT, 8)))) == 8
    # Four bits change the weights a little: the logits resemble those of the whole model.
    ids = torch.tensor([PROMPT])
    with torch.inference_mode():
        a, b = (each(ids).logits[0].flatten() for each in (model, whole))
    assert not torch.equal(a, b)
    assert float(torch.corrcoef(torch.stack((a, b)))[0, 1]) > 0.5


# The GPU's window ----------------------------------------------------------------------------------------------------


def test_the_window_grows_with_prompt_and_answer_within_its_bounds() -> None:
    assert gpu_window.window_seconds(0, 0) == 13
    assert gpu_window.window_seconds(4_000, 0) == gpu_window.window_seconds(0, 0) + 1
    assert gpu_window.window_seconds(2_000, 180) == int(12 + 0.5 + 10) + 1
    assert gpu_window.window_seconds(8_000, 512) < gpu_window.window_seconds(8_000, 1_024) < 120
    assert gpu_window.window_seconds(32_000, 8_192) == 120


def test_elsewhere_there_is_no_window_and_spaces_is_not_imported() -> None:
    code = (
        "import sys; from rag_core import RagConfig; from rag_core.engines import gpu_window\n"
        "from rag_core.engines.local import LocalGenerator\n"
        "from rag_core.engines.steps import Step\n"
        "LocalGenerator(RagConfig())\n"
        "class Engine:\n"
        "    def generate(self, prompt, limit):\n"
        "        yield Step((len(prompt), limit))\n"
        "print(list(gpu_window.generate(gpu_window.register(Engine()), [5, 6], 9))[0].tokens, 'spaces' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 9) False"


class Scripted:
    """An engine that yields what it is given and raises what is an error."""

    description = "scripted"

    def __init__(self, *script: Step | Exception) -> None:
        self.script = script
        self.closed = False

    def generate(self, prompt: Any, max_new_tokens: int) -> Iterator[Step]:
        try:
            for item in self.script:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed = True


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """ZeroGPU as far as it can be had here: the decorator notes what is asked for and runs the function in place."""
    asked: list[int] = []

    def window() -> Any:
        def run(*arguments: Any) -> Iterator[Any]:
            asked.append(gpu_window._seconds(*arguments))
            yield from gpu_window._inside(*arguments)

        return run

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(gpu_window, "_window", window)
    return asked


def test_on_zero_gpu_the_seconds_asked_for_follow_the_request(lent: list[int]) -> None:
    key = gpu_window.register(Scripted(Step((7,)), Step((8,), finish="length")))
    assert [step.tokens for step in gpu_window.generate(key, [1] * 2_000, 180)] == [(7,), (8,)]
    assert lent == [gpu_window.window_seconds(2_000, 180)]


def test_closing_ends_the_engine_inside_the_window(lent: list[int]) -> None:
    engine = Scripted(Step((7,)), Step((8,)))
    steps = gpu_window.generate(gpu_window.register(engine), [1], 5)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert engine.closed


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (QuestionError("too long"), QuestionError, "too long"),
        (MemoryError("none left"), OutOfMemoryError, "no memory left"),
        (ValueError("odd"), ModelError, "Generation failed on the GPU: ValueError: odd"),
    ],
)
def test_errors_cross_from_the_gpu_s_process_with_their_words(
    lent: list[int], raised: Exception, kind: type[Exception], words: str
) -> None:
    steps = gpu_window.generate(gpu_window.register(Scripted(Step((7,)), raised)), [1], 5)
    assert next(steps).tokens == (7,)
    with pytest.raises(kind, match=words):
        next(steps)


def test_a_used_up_quota_is_a_request_to_come_back(lent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr

    def refusing() -> Any:
        def run(*arguments: Any) -> Iterator[Any]:
            raise gr.Error("You have exceeded your GPU quota")
            yield

        return run

    monkeypatch.setattr(gpu_window, "_window", refusing)
    with pytest.raises(BusyError, match=r"exceeded your GPU quota.*try again"):
        list(gpu_window.generate(gpu_window.register(Scripted()), [1], 5))
