"""Generation on one NVIDIA card: our engine against `transformers`' own generate, and against what the card's memory allows.

`python -m bench.gpu [--weights DIR] [--small MODEL] [--parts one,four,many,lookup] [--out bench/results]` writes random
weights of Mistral-7B's shape into DIR once (14.5 GB) and measures on them: speed depends on shapes, not on what was
learnt. Prompt lookup is measured on real small weights that answer over the sample documents. Prints a table; writes JSON, to
which parts measured on the same card are added, and a picture.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from bench.gpu_lent import lent
from bench.gpu_plain import PlainModel, four_bit_recipe
from bench.gpu_report import Figures, table, write
from bench.gpu_starts import start_seconds
from rag_core.engines.cuda.engine import CudaEngine
from rag_core.engines.llama import read_settings

ROOT = Path(__file__).parent.parent
PROMPT, ANSWER = 2_048, 256
CHATS, CHAT_PROMPT = 64, 1_024


def engine(folder: Path, **options: Any) -> CudaEngine:
    """Return our engine over a folder, with nothing left to record."""
    settings = read_settings(folder, windowed=True)
    if settings is None:
        raise SystemExit(f"{folder} is not a model that this engine runs")
    options = {"length": 4_096, "prompt_lookup": False, "prepare": False, **options}
    stops: frozenset[int] = options.pop("stops", frozenset())
    return CudaEngine(folder, settings, stops, **options)


def random_prompts(count: int, tokens: int, vocabulary: int = 32_000) -> list[list[int]]:
    """Return prompts that share nothing, the same ones each time."""
    generator = torch.Generator().manual_seed(count * tokens)
    return torch.randint(3, vocabulary, (count, tokens), generator=generator).tolist()


def answer(made: CudaEngine, prompt: Sequence[int], tokens: int) -> tuple[list[int], list[float]]:
    """Return the tokens of one answer and when each came, in seconds from the start."""
    started = time.perf_counter()
    found: list[int] = []
    times: list[float] = []
    for step in made.generate(prompt, tokens):
        found.extend(step.tokens)
        times.extend([time.perf_counter() - started] * len(step.tokens))
    return found, times


def rested(made: CudaEngine, prompt: Sequence[int], tokens: int) -> tuple[list[int], list[float]]:
    """Return `answer` after a second without work: prompts of one person do not come back to back, for which the card's
    clocks fall by a tenth."""
    time.sleep(1.0)
    return answer(made, prompt, tokens)


def rate(times: Sequence[float]) -> float:
    """Return tokens per second after the first."""
    return (len(times) - 1) / (times[-1] - times[0])


def limits() -> dict[str, float]:
    """Return the measured bandwidth in TB/s (bytes read and written) and bf16 products in TFLOP/s."""
    a = torch.empty(4 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    x, y = (torch.randn(8_192, 8_192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    copy, product = seconds(lambda: b.copy_(a)), seconds(lambda: x @ y)
    return {"TB/s": 2 * a.numel() / copy / 1e12, "TFLOP/s": 2 * 8_192**3 / product / 1e12}


def seconds(work: Callable[[], Any], repeats: int = 10) -> float:
    """Return the seconds of one call on the device."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def one_user(folder: Path, card: dict[str, float], plain: bool) -> Figures:
    """Measure one chat in bf16: load, first token, first token of a next turn, tokens per second."""
    prompts = random_prompts(4, PROMPT)
    loads = start_seconds(folder)
    made = engine(folder)
    answer(made, prompts[0], 1)
    answer(made, prompts[1], ANSWER)
    runs = [rested(made, prompt, ANSWER) for prompt in prompts[1:]]
    turns = []
    for number, (prompt, (found, _)) in enumerate(zip(prompts[1:], runs, strict=True)):
        more = random_prompts(4, 45 + number)[0]
        turns.append(rested(made, [*prompt, *found, *more], 2)[1][0])
    size = weight_bytes(made)
    flops = 2 * size / 2 * PROMPT
    # The first run found its start cached: its prompt was asked before.
    first = statistics.median(times[0] for _, times in runs[1:])
    rows = {
        "one user, bf16, tokens/s": {
            "ours": statistics.median(rate(times) for _, times in runs),
            "limit": card["TB/s"] * 1e12 / size,
        },
        "first token, ms": {"ours": first * 1e3, "limit": flops / card["TFLOP/s"] / 1e9},
        "first token, start cached, ms": {"ours": statistics.median(turns) * 1e3},
        "disk to first token, s": {"ours": loads[1], "kernels compiled anew": loads[0]},
    }
    release(made)
    if plain:
        started = time.perf_counter()
        model = PlainModel(folder)
        model.answer(prompts[0], 1)
        rows["disk to first token, s"]["plain"] = time.perf_counter() - started
        first, speed = model.speed(prompts[1], 48)
        rows["first token, ms"]["plain"] = rows["first token, start cached, ms"]["plain"] = first * 1e3
        rows["one user, bf16, tokens/s"]["plain"] = speed
        rows["64 chats, tokens/s"] = {"plain": model.many(random_prompts(CHATS, CHAT_PROMPT), 32)}
        model.close()
    return rows


def four_bits(folder: Path, card: dict[str, float], plain: bool) -> Figures:
    """Measure one chat in four bits."""
    prompts = random_prompts(4, PROMPT)
    made = engine(folder, four_bit=True)
    answer(made, prompts[0], ANSWER)
    runs = [answer(made, prompt, ANSWER) for prompt in prompts[1:]]
    row = {
        "ours": statistics.median(rate(times) for _, times in runs),
        "limit": card["TB/s"] * 1e12 / weight_bytes(made),
    }
    release(made)
    if plain and (recipe := four_bit_recipe()) is not None:
        model = PlainModel(folder, recipe)
        row["plain"] = model.speed(prompts[1], 48)[1]
        model.close()
    return {"one user, 4 bits, tokens/s": row}


def many_chats(folder: Path, card: dict[str, float], plain: bool) -> Figures:
    """Measure 64 chats that begin at once: all tokens over all time, and the gaps between the tokens of each."""
    made = engine(folder, length=CHAT_PROMPT + ANSWER)
    prompts = random_prompts(CHATS, CHAT_PROMPT)

    def ask(tokens: int) -> tuple[float, list[list[float]]]:
        times: list[list[float]] = [[] for _ in prompts]

        def work(number: int) -> None:
            times[number] = answer(made, prompts[number][::-1] if tokens < ANSWER else prompts[number], tokens)[1]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(prompts))]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started, times

    ask(24)  # compiles and records
    taken, times = ask(ANSWER)
    gaps = sorted(later - earlier for each in times for earlier, later in itertools.pairwise(each))
    steady = sorted(each[-1] - each[-101] for each in times)
    # Keys and values of all chats, half of the answer written, are read beside the weights.
    s = made._passes.model.settings
    cache = CHATS * (CHAT_PROMPT + ANSWER / 2) * 4 * s.layers * s.key_value_heads * s.head_size
    step = (weight_bytes(made) + cache) / card["TB/s"] / 1e12
    reading = CHATS * CHAT_PROMPT * weight_bytes(made) / card["TFLOP/s"] / 1e12
    rows = {
        "64 chats, tokens/s": {
            "ours": CHATS * ANSWER / taken,
            "limit": CHATS * ANSWER / (ANSWER * step + reading),
            "ours, prompts read": CHATS * 100 / statistics.median(steady),
        },
        "64 chats, p95 between tokens, ms": {"ours": gaps[int(0.95 * len(gaps))] * 1e3},
    }
    release(made)
    return rows


def lookup(model: str, plain: bool) -> Figures:
    """Measure drafts from the prompt on answers over documents, with real weights; tokens with and without must agree."""
    from bench.gpu_plain import document_prompts, small_model
    from rag_core.engines.local import stop_ids
    from rag_core.engines.tokens import ChatTokenizer

    folder = small_model(model)
    prompts = document_prompts(folder)
    stops = stop_ids(folder, ChatTokenizer(folder))
    tokens: dict[bool, list[list[int]]] = {}
    taken: dict[bool, list[float]] = {}
    for drafted in (False, True):
        made = engine(folder, prompt_lookup=drafted, length=2_048, stops=stops)
        for prompt in prompts[:2]:
            answer(made, prompt[::-1], 32)
        runs = [answer(made, prompt, 128) for prompt in prompts]
        tokens[drafted] = [run[0] for run in runs]
        # From the first token on; an answer of one token has no more.
        taken[drafted] = [run[1][-1] - run[1][0] for run in runs]
        release(made)
    ratios = [slow / fast for slow, fast in zip(taken[False], taken[True], strict=True) if fast > 0]
    row = {
        "ours": sum(taken[False]) / sum(taken[True]),
        "least": min(ratios),
        "most": max(ratios),
        "answers with the same tokens": sum(a == b for a, b in zip(tokens[True], tokens[False], strict=True)),
        "answers": len(prompts),
        "tokens/s without": sum(len(each) - 1 for each in tokens[False]) / sum(taken[False]),
        "plain": 1.0,
    }
    agreement: dict[str, float] = {}
    if plain:
        reference = PlainModel(folder)
        agreement = reference.agreement(prompts, tokens[False])
        row["transformers, tokens/s"] = reference.speed(prompts[0], 64)[1]
        reference.close()
    return {"prompt lookup, times as fast": row, **({"tokens as transformers": agreement} if plain else {})}


def weight_bytes(made: CudaEngine) -> int:
    """Return the bytes that every token reads: all weights but the embedding, of which it reads one row."""
    weights = made._passes.model.weights
    matrices = [weights.head]
    for layer in weights.layers:
        matrices += [layer.qkv, layer.out, layer.gate_up, layer.down]
    tensors = [tensor for each in matrices if (tensor := each.dense) is not None]
    for each in matrices:
        if each.packed is not None:
            tensors += [each.packed.words, each.packed.scales]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def release(made: CudaEngine) -> None:
    """Give the memory of an engine back."""
    made.prepared()
    made.__dict__.clear()
    gc.collect()
    torch.cuda.empty_cache()


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path(tempfile.gettempdir()) / "mistral-shape")
    parser.add_argument(
        "--small", default="auto", help="small real model for prompt lookup: auto, a folder or a Hub id"
    )
    parser.add_argument("--parts", default="one,four,many,lookup,lent")
    parser.add_argument("--no-plain", action="store_true", help="measure ours alone")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA card here; run this where there is one")
    from train.proofs.weights import write_random_weights

    card: dict[str, Any] = {"name": torch.cuda.get_device_name(), "date": date.today().isoformat(), **limits()}
    card["torch"] = torch.__version__
    print(card, flush=True)
    parts: dict[str, Callable[[], Figures]] = {
        "one": lambda: one_user(options.weights, card, not options.no_plain),
        "four": lambda: four_bits(options.weights, card, not options.no_plain),
        "many": lambda: many_chats(options.weights, card, not options.no_plain),
        "lookup": lambda: lookup(options.small, not options.no_plain),
        "lent": lambda: lent(options.weights, not options.no_plain),
    }
    figures: Figures = {}
    for name in options.parts.split(","):
        if name != "lookup":
            write_random_weights(options.weights)
            gc.collect()
            torch.cuda.empty_cache()
        started = time.perf_counter()
        for title, row in parts[name]().items():
            figures[title] = {**figures.get(title, {}), **row}
        print(f"{name}: {time.perf_counter() - started:.0f} s\n{table(figures)}", flush=True)
        write(options.out, figures, card, prompt=PROMPT, answer=ANSWER)


if __name__ == "__main__":
    main()
