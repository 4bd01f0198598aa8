"""The engine for CUDA with its plain operations, on the CPU: slots, turns, drafts, stops, faults. Tokens are the model's."""

from __future__ import annotations

import gc
import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import WORDS, tiny_model

from rag_core import RagConfig
from rag_core.engines.choosing import make_engine
from rag_core.engines.cuda.engine import CudaEngine
from rag_core.engines.cuda.loading import TensorFiles
from rag_core.engines.cuda.model import SlotModel, slot_bytes
from rag_core.engines.cuda.passes import Passes
from rag_core.engines.cuda.plain import PlainOps
from rag_core.engines.cuda.requests import Request
from rag_core.engines.cuda.schedule import Scheduler
from rag_core.engines.cuda.weights import GROUP, pack, read_weights, unpack
from rag_core.engines.llama import LlamaSettings, read_settings
from rag_core.engines.local import LocalGenerator
from rag_core.engines.memory import weight_counts
from rag_core.engines.steps import Step
from rag_core.errors import ModelError, ModelLoadError, OutOfMemoryError, RagError
from rag_core.records import Message

CPU = torch.device("cpu")
NONE: frozenset[int] = frozenset()
LENGTH = 160
PROMPTS = [[1, 20, 21, 22, 20, 21], [1, 40, 41], [1, *range(5, 45)], [1, 7, 9, 7, 9, 7], [1, 20, 21, 60], [1, 90]]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on two, and far slower where somebody else wants the second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["llama", "mistral"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second looks 32 tokens back and no further."""
    window = {"sliding_window": 32} if request.param == "mistral" else {}
    return tiny_model(tmp_path_factory.mktemp("models") / request.param, request.param, **window)


@pytest.fixture(scope="module")
def says(folder: Path) -> Callable[[list[int], int], list[int]]:
    """What the model says by `transformers`' own forward pass, each token computed afresh."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(str(folder))

    known: dict[tuple[int, ...], list[int]] = {}

    def greedy(prompt: list[int], count: int) -> list[int]:
        made = known.setdefault(tuple(prompt), [])
        with torch.inference_mode():
            while len(made) < count:
                made.append(int(model(torch.tensor([[*prompt, *made]]), use_cache=False).logits[0, -1].argmax()))
        return made[:count]

    return greedy


def shape(folder: Path) -> LlamaSettings:
    settings = read_settings(folder, windowed=True)
    assert settings is not None
    return settings


def slot_model(folder: Path, slots: int = 3) -> SlotModel:
    settings = shape(folder)
    weights = read_weights(folder, settings, CPU, torch.float32)
    return SlotModel(weights, settings, PlainOps(settings, LENGTH, CPU, torch.float32), slots=slots, length=LENGTH)


def scheduler(folder: Path, slots: int = 3, *, lookup: bool = False, stops: frozenset[int] = NONE) -> Scheduler:
    return Scheduler(Passes(slot_model(folder, slots), record=False), stops, lookup=lookup)


def submitted(line: Scheduler, *prompts: list[int], limit: int = 12) -> list[Request]:
    requests = [Request(tuple(prompt), limit) for prompt in prompts]
    for request in requests:
        line.submit(request)
    return requests


def steps_of(request: Request) -> list[Step | RagError]:
    found = []
    while not request.steps.empty():
        found.append(request.steps.get())
    return found


def tokens_of(request: Request) -> list[int]:
    """The tokens of a finished request; whatever else came is a failure."""
    steps = steps_of(request)
    errors = [step for step in steps if isinstance(step, RagError)]
    if errors:
        raise errors[0]
    assert [step.finish is None for step in steps] == [True] * (len(steps) - 1) + [False]  # type: ignore[union-attr]
    return [token for step in steps for token in step.tokens]  # type: ignore[union-attr]


def run(line: Scheduler) -> int:
    turns = 0
    with torch.inference_mode():
        while not line.idle():
            line.turn()
            turns += 1
            assert turns < 2_000
    return turns


@pytest.mark.parametrize("lookup", [False, True])
def test_chats_together_say_what_each_says_alone(folder: Path, says: Any, lookup: bool) -> None:
    """Six chats over three places, so that some wait and all mix; drafts are made once four or fewer are left."""
    line = scheduler(folder, lookup=lookup)
    requests = submitted(line, *PROMPTS, limit=40)
    run(line)
    assert [tokens_of(request) for request in requests] == [says(prompt, 40) for prompt in PROMPTS]
    assert line.free == 3


def test_drafts_save_passes_and_change_no_token(folder: Path, says: Any) -> None:
    prompt = PROMPTS[0] * 4
    passes: dict[bool, int] = {}
    for lookup in (False, True):
        line = scheduler(folder, 1, lookup=lookup)
        request = submitted(line, prompt, limit=100)[0]
        passes[lookup] = run(line)
        assert tokens_of(request) == says(prompt, 100)
    # A tiny model soon repeats itself, which a draft foresees.
    assert passes[True] < passes[False]


def test_an_answer_stops_at_its_stop_token_and_at_its_length(folder: Path, says: Any) -> None:
    free = says(PROMPTS[0], 30)
    place = next(i for i in range(3, 30) if free[i] not in free[:i])
    for lookup in (False, True):
        for limit in (30, place, 1):
            line = scheduler(folder, lookup=lookup, stops=frozenset({free[place]}))
            request = submitted(line, PROMPTS[0], limit=limit)[0]
            run(line)
            steps = steps_of(request)
            last = steps[-1]
            assert isinstance(last, Step)
            assert last.finish == ("stop" if limit > place else "length")
            assert [token for step in steps for token in step.tokens] == free[: min(limit, place)]  # type: ignore[union-attr]
        line = scheduler(folder, lookup=lookup, stops=frozenset({free[0]}))
        request = submitted(line, PROMPTS[0])[0]
        run(line)
        assert steps_of(request) == [Step(finish="stop")]


def test_a_turn_goes_on_where_the_last_one_ended(folder: Path, says: Any) -> None:
    line = scheduler(folder)
    first = submitted(line, PROMPTS[2], limit=10)[0]
    run(line)
    answer = tokens_of(first)
    follow_up = [*PROMPTS[2], *answer, 50, 51]
    second, other = submitted(line, follow_up, PROMPTS[1])
    run(line)
    # All but the answer's last token, which was chosen and never read, and what is new.
    assert (second.cached, other.cached) == (len(follow_up) - 3, 1 if other.cached else 0)
    assert tokens_of(second) == says(follow_up, 12)
    assert tokens_of(other) == says(PROMPTS[1], 12)


def test_a_common_start_is_copied_from_a_chat_that_still_runs(folder: Path, says: Any) -> None:
    start = [1, *range(5, 35)]
    line = scheduler(folder)
    first = submitted(line, [*start, 60], limit=30)[0]
    with torch.inference_mode():
        for _ in range(4):
            line.turn()
    second = submitted(line, [*start, 70, 71])[0]
    run(line)
    assert (first.cached, second.cached) == (0, len(start))
    assert tokens_of(first) == says([*start, 60], 30)
    assert tokens_of(second) == says([*start, 70, 71], 12)


def test_a_chat_that_shares_only_its_first_words_leaves_the_other_as_it_is(folder: Path) -> None:
    """Two chats in turn, as two visitors have them, each find their own place again."""
    line = scheduler(folder, 3)
    start = [1, *range(5, 30)]
    talks = [[*start, *range(30, 70)], [*start, *range(70, 99)]]
    for talk in talks:
        submitted(line, talk, limit=3)
        run(line)
    again = submitted(line, *([*talk, 80, 81] for talk in talks))
    run(line)
    assert [request.cached >= len(talk) for request, talk in zip(again, talks, strict=True)] == [True, True]


def test_the_few_tokens_of_a_next_turn_are_read_as_rows(folder: Path, says: Any) -> None:
    """As on a card, where such a pass is recorded."""
    passes = Passes(slot_model(folder), record=False)
    passes._short = 8
    line = Scheduler(passes, NONE, lookup=False)
    reads: list[int] = []
    passes.model.read = lambda *args, read=passes.model.read: reads.append(args[2]) or read(*args)  # type: ignore[func-returns-value, method-assign]
    for prompt in (PROMPTS[2], [*PROMPTS[2], 60, 61, 62]):
        request = submitted(line, prompt, limit=9)[0]
        run(line)
        assert tokens_of(request) == says(prompt, 9)
    assert reads == [0]


def test_recordings_that_compute_something_else_are_given_up(
    folder: Path, says: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A recording is stood in for by a call; the broken one changes nothing, so the token before is taken for its own."""

    class Recording:
        def __init__(self, replay: Callable[[], None]) -> None:
            self.replay = replay

    for broken in (False, True):
        passes = Passes(slot_model(folder), record=True)
        stale = (lambda passes=passes: passes._chosen.fill_(WORDS - 1)) if broken else None
        monkeypatch.setattr(passes, "_recorded", lambda body, stale=stale: Recording(stale or body))
        with torch.inference_mode():
            passes.try_out()
        assert passes.recording is not broken
        assert ("not recorded" in caplog.text) is broken
        line = Scheduler(passes, NONE, lookup=False)
        requests = submitted(line, *PROMPTS[:4], limit=20)
        run(line)
        assert [tokens_of(request) for request in requests] == [says(prompt, 20) for prompt in PROMPTS[:4]]


def test_a_long_prompt_is_read_in_parts_between_the_others_tokens(
    folder: Path, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_core.engines.cuda.schedule._SHARED", 8)
    line = scheduler(folder)
    first = submitted(line, PROMPTS[0], limit=40)[0]
    with torch.inference_mode():
        for _ in range(3):
            line.turn()
        before = len(steps_of(first))
        second = submitted(line, PROMPTS[2])[0]
        for _ in range(5):
            line.turn()
    assert before > 0
    # 41 tokens in parts of 8: five turns read 40 of them, and gave the other chat five tokens.
    assert second.read == 40
    assert len(steps_of(first)) == 5
    assert [step.tokens for step in steps_of(second)] == [()] * 5  # type: ignore[union-attr]
    run(line)
    assert tokens_of(second) == says(PROMPTS[2], 12)


def test_stop_frees_the_place_at_once(folder: Path, says: Any) -> None:
    line = scheduler(folder, 1)
    first, second = submitted(line, PROMPTS[0], PROMPTS[1], limit=50)
    with torch.inference_mode():
        for _ in range(5):
            line.turn()
        assert (first.slot, second.slot) == (0, -1)
        first.cancelled = True
        line.turn()
    assert first.done
    assert second.slot == 0
    run(line)
    assert tokens_of(second) == says(PROMPTS[1], 50)
    # Who is stopped in line never gets a place.
    third, fourth = submitted(line, PROMPTS[3], PROMPTS[4])
    fourth.cancelled = True
    run(line)
    assert (third.slot, fourth.slot) == (0, -1)


class Failing(Passes):
    """Passes of which those with a certain slot or a part of a prompt fail."""

    fault: Callable[[list[int]], Exception | None] = staticmethod(lambda slots: None)  # type: ignore[assignment]

    def read(self, tokens: Any, slot: int, start: int) -> Any:
        self._fail([slot])
        return super().read(tokens, slot, start)

    def advance(self, slots: Any, reach: int) -> Any:
        self._fail(list(slots))
        return super().advance(slots, reach)

    def check(self, rows: Any) -> Any:
        self._fail([row.slot for row in rows])
        return super().check(rows)

    def _fail(self, slots: list[int]) -> None:
        error = self.fault(slots)
        if error is not None:
            raise error


@pytest.mark.parametrize("lookup", [False, True])
def test_a_crash_in_one_chat_ends_that_one_alone(folder: Path, says: Any, lookup: bool) -> None:
    passes = Failing(slot_model(folder), record=False)
    line = Scheduler(passes, NONE, lookup=lookup)
    requests = submitted(line, *PROMPTS[:3], limit=20)
    with torch.inference_mode():
        for _ in range(6):
            line.turn()
        passes.fault = lambda slots: ValueError("broken") if requests[1].slot in slots else None  # type: ignore[method-assign]
        for _ in range(2):
            line.turn()
    last = steps_of(requests[1])[-1]
    assert isinstance(last, ModelError)
    assert "This answer failed (ValueError: broken)" in str(last)
    passes.fault = lambda slots: None  # type: ignore[method-assign]
    run(line)
    assert tokens_of(requests[0]) == says(PROMPTS[0], 20)
    assert tokens_of(requests[2]) == says(PROMPTS[2], 20)
    # The place is clean: nothing that was there when it broke is taken for known.
    again = submitted(line, PROMPTS[1])[0]
    run(line)
    assert again.cached <= 1
    assert tokens_of(again) == says(PROMPTS[1], 12)


@pytest.mark.parametrize("where", ["read", "advance"])
def test_where_memory_ends_the_newest_goes(folder: Path, says: Any, where: str) -> None:
    passes = Failing(slot_model(folder), record=False)
    line = Scheduler(passes, NONE, lookup=False)
    requests = submitted(line, *PROMPTS[:2], limit=20)
    with torch.inference_mode():
        for _ in range(5):
            line.turn()
    requests += submitted(line, PROMPTS[2], limit=20)
    count = {"read": 1, "advance": 3}[where]
    full = torch.cuda.OutOfMemoryError("CUDA out of memory")
    passes.fault = lambda slots: full if len(slots) >= count and requests[2].slot in slots else None  # type: ignore[method-assign]
    run(line)
    last = steps_of(requests[2])[-1]
    assert isinstance(last, OutOfMemoryError)
    assert "newest question was dropped" in str(last)
    assert [tokens_of(request) for request in requests[:2]] == [says(prompt, 20) for prompt in PROMPTS[:2]]


# The engine ----------------------------------------------------------------------------------------------------------


def engine(folder: Path, **options: Any) -> CudaEngine:
    options = {"length": LENGTH, "device": "cpu", "dtype": torch.float32, "most_chats": 3, **options}
    return CudaEngine(folder, shape(folder), NONE, **options)


def test_threads_share_the_engine_and_its_thread_ends_with_it(folder: Path, says: Any) -> None:
    others = set(threading.enumerate())
    made = engine(folder)
    [working] = set(threading.enumerate()) - others
    assert working.name == "cuda-engine"
    assert (made.at_once, made.longest) == (3, LENGTH)
    assert made.description == "CPU, float32, 3 chats at once"
    found: dict[int, list[int]] = {}

    def ask(number: int, asked: CudaEngine) -> None:
        found[number] = [token for step in asked.generate(PROMPTS[number], 25) for token in step.tokens]

    threads = [threading.Thread(target=ask, args=(number, made)) for number in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: says(prompt, 25) for number, prompt in enumerate(PROMPTS)}
    assert made.prepared()
    assert working.is_alive()
    del made, threads, thread
    gc.collect()
    working.join(60)
    assert not working.is_alive()


def test_closing_a_stream_frees_its_place(folder: Path, says: Any) -> None:
    made = engine(folder, most_chats=1)
    stream = made.generate(PROMPTS[0], 100)
    first = [token for _, step in zip(range(3), stream, strict=False) for token in step.tokens]
    stream.close()  # type: ignore[attr-defined]
    assert first == says(PROMPTS[0], 3)
    assert [token for step in made.generate(PROMPTS[1], 5) for token in step.tokens] == says(PROMPTS[1], 5)


def test_what_cannot_be_asked_is_refused_and_nobody_else_suffers(folder: Path) -> None:
    made = engine(folder)
    with pytest.raises(ModelError, match="check RAG_TOKENIZER"):
        list(made.generate([1, WORDS], 3))
    with pytest.raises(OutOfMemoryError, match="room for 160"):
        list(made.generate([1] * 100, 100))
    assert len(list(made.generate([1, 5], 3))) == 3


def test_if_the_thread_breaks_everybody_hears_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(folder)
    monkeypatch.setattr(made._scheduler, "turn", lambda: 1 / 0)
    with pytest.raises(ModelError, match="restart the app"):
        list(made.generate(PROMPTS[0], 5))
    monkeypatch.undo()
    assert len(list(made.generate([1, 5], 3))) == 3


# The generator over it -----------------------------------------------------------------------------------------------


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A card as far as it can be had here: what is asked of it is noted, and the CPU computes."""
    from rag_core.engines import choosing, transformer
    from rag_core.engines.cuda import engine as cuda

    asked: list[dict[str, Any]] = []

    class OnCpu(CudaEngine):
        def __init__(self, *args: Any, **options: Any) -> None:
            asked.append(options)
            super().__init__(*args, **{**options, "device": "cpu", "dtype": torch.float32, "most_chats": 2})

    monkeypatch.setattr(choosing, "gpu_available", lambda: True)
    monkeypatch.setattr(transformer, "device_dtype", lambda *, on_gpu, lent_gpu=False: torch.bfloat16)
    monkeypatch.setattr(cuda, "free_gpu_bytes", lambda device: 80 << 30)
    monkeypatch.setattr(cuda, "CudaEngine", OnCpu)
    return asked


def generator(folder: Path, **settings: Any) -> LocalGenerator:
    config = RagConfig().with_setting("generation.model", str(folder)).with_setting("generation.cuda_engine", True)
    for name, value in settings.items():
        config = config.with_setting(f"generation.{name}", value)
    return LocalGenerator(config)


def said(made: LocalGenerator, word: int) -> str:
    return "".join(delta.text for delta in made.stream([Message("user", f"w{word} w{word + 1}")], max_new_tokens=20))


def test_on_a_card_answers_are_made_together(folder: Path, card: list[dict[str, Any]]) -> None:
    made = generator(folder, context_tokens=200)
    alone = [said(made, word) for word in (20, 40)]
    assert [(asked["length"], asked["four_bit"], asked["dtype"]) for asked in card] == [(200, False, torch.bfloat16)]
    assert made.description == "CPU, float32, 2 chats at once"
    streams = [made.stream([Message("user", f"w{word} w{word + 1}")], max_new_tokens=20) for word in (20, 40)]
    texts = ["", ""]
    for pair in itertools.zip_longest(*streams):  # each is read while the other is open
        for number, delta in enumerate(pair):
            texts[number] += delta.text if delta else ""
    assert texts == alone
    assert len(set(alone)) == 2


def test_four_bits_are_taken_where_sixteen_do_not_fit(
    folder: Path, card: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_core.engines.cuda import engine as cuda

    settings = shape(folder)
    needed = 2 * sum(weight_counts(folder).values()) + slot_bytes(settings, 200, torch.bfloat16) + (3 << 29)
    for free, four_bit in ((needed, False), (needed - 1, True)):
        monkeypatch.setattr(cuda, "free_gpu_bytes", lambda device, free=free: free)
        generator(folder, context_tokens=200).load()
        assert card.pop()["four_bit"] is four_bit
    generator(folder, load_in_4bit=True).load()
    assert card.pop()["four_bit"] is True


def test_chats_are_as_many_and_as_long_as_memory_allows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_core.engines.cuda import engine as cuda

    settings, reserve = shape(folder), 3 << 29
    one = slot_bytes(settings, 4_096, torch.bfloat16)
    assert one == 2 * 2 * 2 * 32 * 4_096 * 2  # keys and values, layers, heads of keys, head, positions, bytes
    for free, expected in ((100 * one, (64, 4_096)), (5 * one, (5, 4_096)), (one // 2, (1, 2_048))):
        monkeypatch.setattr(cuda, "free_gpu_bytes", lambda device, free=free: free + reserve)
        assert cuda._room(settings, 4_096, torch.bfloat16, torch.device("cuda"), 64) == expected
    monkeypatch.setattr(cuda, "free_gpu_bytes", lambda device: reserve)
    with pytest.raises(OutOfMemoryError, match="RAG_LOAD_IN_4BIT"):
        cuda._room(settings, 4_096, torch.bfloat16, torch.device("cuda"), 64)


def test_on_zero_gpu_it_is_made_for_one_chat_by_the_first_answer(
    folder: Path,
    card: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    says: Callable[[list[int], int], list[int]],
) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    made = make_engine(RagConfig(), folder, NONE, LENGTH)
    assert not card
    found = [[token for step in made.generate(prompt, 6) for token in step.tokens] for prompt in PROMPTS[:2]]
    assert found == [says(prompt, 6) for prompt in PROMPTS[:2]]
    assert [(asked["most_chats"], asked["prepare"], asked["length"]) for asked in card] == [(1, False, LENGTH)]


def test_on_zero_gpu_transformers_answers_where_it_does_not_run(
    folder: Path, card: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_core.engines import transformer
    from rag_core.engines.cuda import engine as cuda

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(cuda, "CudaEngine", lambda *_, **__: 1 / 0)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        transformer, "TransformersEngine", lambda *_, **options: asked.append(options) or engine(folder)
    )
    assert len(list(make_engine(RagConfig(), folder, NONE, LENGTH).generate([1, 5], 3))) == 3
    # By now the GPU is there: the weights go straight onto it.
    assert [(options["device"], options["lent_gpu"]) for options in asked] == [("cuda", False)]


def test_where_the_engine_does_not_run_transformers_does(
    folder: Path, card: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from rag_core.engines import transformer

    class Elsewhere:
        description, at_once = "elsewhere", 1

        def __init__(self, *args: Any, **options: Any) -> None:
            assert options["device"] == "cuda"

    monkeypatch.setattr(transformer, "TransformersEngine", Elsewhere)
    monkeypatch.setattr("rag_core.engines.cuda.engine.read_weights", lambda *args, **options: 1 / 0)
    made = generator(folder)
    made.load()
    assert made.description == "elsewhere"
    assert "answers come slower" in caplog.text
    # Memory that is not there is not there for transformers either.
    monkeypatch.setattr("rag_core.engines.cuda.engine.read_weights", _no_memory)
    with pytest.raises(OutOfMemoryError):
        generator(folder).load()


def _no_memory(*args: Any, **options: Any) -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def test_a_card_without_kernels_gets_plain_operations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old card, and one where the kernels' compiler is not there; nothing of it touches the card itself."""
    from rag_core.engines.cuda import engine as cuda

    made: list[str] = []
    monkeypatch.setattr(cuda, "PlainOps", lambda *args: made.append("plain"))
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    cuda._operations(shape(folder), 64, torch.device("cuda"), torch.float16, False)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "rag_core.engines.cuda.fused", None)
    cuda._operations(shape(folder), 64, torch.device("cuda"), torch.bfloat16, False)
    assert made == ["plain", "plain"]


# Weights -------------------------------------------------------------------------------------------------------------


def test_four_bits_keep_what_they_can(folder: Path) -> None:
    torch.manual_seed(1)
    # Inputs that fill no whole span: the rest is padding.
    whole = torch.randn(24, 300) * 0.02
    packed = pack(whole)
    assert packed.packed is not None
    assert packed.packed.words.shape == (24, 512 // 8)
    back = unpack(packed, torch.float32)
    assert back.shape == whole.shape
    # Of normal numbers in groups of 32, 8.2 % of their size is lost; NF4 in groups of 64 loses 9.2 %.
    assert float((back - whole).norm() / whole.norm()) < 0.085
    # What four bits can say exactly is kept exactly, and what is nothing stays nothing.
    levels = torch.randint(-8, 8, (8, 256)).float()
    levels[:, ::GROUP], levels[-1, GROUP : 2 * GROUP] = -8, 0
    assert torch.equal(unpack(pack(levels), torch.float32), levels)
    # The first half of a word's scales belongs to the earlier group.
    steps = torch.cat((torch.ones(1, GROUP), torch.full((1, GROUP), 0.25)), 1)
    assert torch.equal(unpack(pack(steps), torch.float32), steps)


def test_four_bit_weights_generate_and_resemble_the_whole_ones(folder: Path) -> None:
    settings = shape(folder)
    ids = torch.tensor(PROMPTS[2])
    logits = []
    for four_bit in (False, True):
        weights = read_weights(folder, settings, CPU, torch.float32, four_bit=four_bit)
        assert (weights.layers[0].qkv.packed is not None) is four_bit
        operations = PlainOps(settings, LENGTH, CPU, torch.float32)
        logits.append(SlotModel(weights, settings, operations, slots=1, length=LENGTH).read(ids, 0, 0).flatten())
    assert not torch.equal(*logits)
    assert float(torch.corrcoef(torch.stack(logits))[0, 1]) > 0.5
    made = engine(folder, four_bit=True)
    assert made.description.startswith("CPU, 4 bits")
    assert len([token for step in made.generate(PROMPTS[0], 8) for token in step.tokens]) == 8


def test_damaged_files_are_told(folder: Path, tmp_path: Path) -> None:
    settings = shape(folder)
    name = "model.safetensors"
    data = (folder / name).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    lacking = json.dumps({key: value for key, value in header.items() if "q_proj" not in key}).encode()
    broken = {
        "is cut off": data[:-1000],
        "is damaged": data[:100],
        "lacks the weight model.layers.0.self_attn.q_proj.weight": len(lacking).to_bytes(8, "little")
        + lacking
        + data[8 + length :],
    }
    for message, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelLoadError, match=message):
            read_weights(tmp_path, settings, CPU, torch.float32)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelLoadError, match=r"config\.json says"):
        TensorFiles(tmp_path).fill({"model.norm.weight": torch.empty(3)})
