"""Generation speed: our engine against `transformers`' own generate, same weights, same prompts, same process.

`python -m bench.decode [--model MODEL] [--tokens 96] [--repeats 3]` prints one row a prompt and whether the tokens are
the same. Runs alternate and the median counts, so that a busy machine slows both. `--llama` adds llama.cpp on the same
file; on a busy machine use `--threads 1`, because its threads wait for each other actively at every layer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.llama_cpp import llama_cpp
from rag_core.config import RagConfig
from rag_core.engines.cpu import CpuEngine
from rag_core.engines.llama import read_settings
from rag_core.engines.local import model_folder, stop_ids
from rag_core.engines.memory import thread_count
from rag_core.engines.tokens import ChatTokenizer
from rag_core.models import resolve_generator
from rag_core.records import Message

_SYSTEM = "You are an assistant that answers questions using the given passages."
_PASSAGES = (
    "Revenue of Harbour Lane Holdings rose to $12.3 million in 2021 from $11.1 million in 2020, an increase of 10.8 "
    "percent. Subscription income made up $9.4 million of it (2020: $8.0 million); services made up the rest. Gross "
    "margin was 61 percent, two points above the year before, since hosting was moved to a single provider in March.",
    "A haircut is the difference between the market value of an asset and the value that a lender accepts for it as "
    "collateral. A bond worth $100 with a haircut of 4 percent secures a loan of $96. Haircuts grow with the "
    "volatility of the asset, with the time that a sale would take, and with the doubt about who issued it.",
    "Modified duration tells by how many percent the price of a bond falls when its yield rises by one percentage "
    "point. It is the Macaulay duration divided by one plus the yield per period. A bond with a duration of 5 loses "
    "about 5 percent of its price for a rise of one point; convexity makes the loss slightly smaller.",
)
_QUESTIONS = {
    "short": (1, "What was revenue in 2021 and in 2020?"),
    "explain": (2, "Explain what a haircut is and why it grows."),
    "long": (9, "What does modified duration tell about a bond?"),
    "quote": (3, "Repeat the passage about the haircut word for word."),
}


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens of one answer; seconds to the first and from there to the last."""

    tokens: list[int]
    first_seconds: float
    rest_seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second after the first."""
        return (len(self.tokens) - 1) / self.rest_seconds if len(self.tokens) > 1 else 0.0


def prompt(passages: int, question: str) -> list[Message]:
    """Return the messages: so many passages, then the question."""
    texts = [f"[{number + 1}]\n{_PASSAGES[number % len(_PASSAGES)]}" for number in range(passages)]
    return [Message("system", _SYSTEM), Message("user", "\n\n".join([*texts, f"Question: {question}"]))]


def ours(engine: CpuEngine, ids: Sequence[int], tokens: int) -> Run:
    """Time one cold answer of our engine."""
    engine.forget()
    made: list[int] = []
    started, first = time.perf_counter(), 0.0
    for step in engine.generate(ids, tokens):
        if step.tokens and not made:
            first = time.perf_counter()
        made.extend(step.tokens)
    return Run(made, first - started, time.perf_counter() - first)


def plain(folder: Path) -> Callable[[Sequence[int], int], Run]:
    """Load `transformers`' model; return a function that times one answer of its generate."""
    from transformers import AutoModelForCausalLM
    from transformers.generation.streamers import BaseStreamer

    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    stops = sorted(stop_ids(folder, ChatTokenizer(folder)))

    class Clock(BaseStreamer):
        """Notes when the first new token came."""

        calls, first = 0, 0.0

        def put(self, value: object) -> None:
            self.calls += 1
            if self.calls == 2:
                self.first = time.perf_counter()

        def end(self) -> None:
            pass

    def run(ids: Sequence[int], tokens: int) -> Run:
        clock, rows = Clock(), torch.tensor([list(ids)])
        started = time.perf_counter()
        out = model.generate(
            rows, attention_mask=torch.ones_like(rows), max_new_tokens=tokens, do_sample=False, streamer=clock,
            eos_token_id=stops, pad_token_id=stops[0],
        )  # fmt: skip
        ended = time.perf_counter()
        made = out[0, len(ids) :].tolist()
        return Run(made[:-1] if made[-1] in stops else made, clock.first - started, ended - clock.first)

    return run


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="auto", help="auto, a folder or a Hub id of a Llama-type model")
    parser.add_argument("--tokens", type=int, default=96, help="longest answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as the app takes")
    parser.add_argument("--llama", action="store_true", help="llama.cpp too; needs the package xllamacpp")
    arguments = parser.parse_args()
    config = RagConfig().with_setting("generation.model", arguments.model).with_setting("generation.device", "cpu")
    source = resolve_generator(config.generation)
    folder = model_folder(source, config.cache_directory)
    settings = read_settings(folder)
    if settings is None:
        parser.error(f"{folder.name} is not a model that the fast engine runs")
    tokenizer = ChatTokenizer(folder)
    stops, cache = stop_ids(folder, tokenizer), config.cache_directory
    threads = arguments.threads or thread_count(0)
    torch.set_num_threads(threads)
    peer = llama_cpp(source.path, threads) if arguments.llama and source.path else None
    fast = CpuEngine(folder, settings, stops, cache, threads=threads)
    single = CpuEngine(folder, settings, stops, cache, prompt_lookup=False, model=fast.model)
    generate = plain(folder)
    print("prompt   tokens  same  | first token s: plain  ours  ratio | tok/s: plain  no lookup  ours  ratio")
    for name, (passages, question) in _QUESTIONS.items():
        ids = tokenizer.encode(prompt(passages, question))
        rounds = [
            (generate(ids, arguments.tokens), ours(single, ids, arguments.tokens), ours(fast, ids, arguments.tokens))
            for _ in range(arguments.repeats)
        ]
        same = all(run.tokens == rounds[0][0].tokens for turn in rounds for run in turn)
        first = [statistics.median(turn[i].first_seconds for turn in rounds) for i in range(3)]
        rate = [statistics.median(turn[i].rate for turn in rounds) for i in range(3)]
        print(
            f"{name:8} {len(ids):4}+{len(rounds[0][0].tokens):<3} {'yes' if same else 'NO':4} | "
            f"{first[0]:19.3f} {first[2]:5.3f} {first[0] / first[2]:6.2f} | "
            f"{rate[0]:12.1f} {rate[1]:10.1f} {rate[2]:5.1f} {rate[2] / rate[0]:6.2f}",
            flush=True,
        )
        if peer:
            _beside(partial(peer, ids, arguments.tokens), partial(ours, fast, ids, arguments.tokens), arguments.repeats)


def _beside(peer: Callable[[], tuple[float, float]], own: Callable[[], Run], repeats: int) -> None:
    """Print one row: llama.cpp beside ours, run in turns."""
    turns = [(*peer(), own()) for _ in range(repeats)]
    wait, rate = (statistics.median(turn[place] for turn in turns) for place in (0, 1))
    own_wait = statistics.median(turn[2].first_seconds for turn in turns)
    own_rate = statistics.median(turn[2].rate for turn in turns)
    print(
        f"         llama.cpp: first token {wait:.3f} s, ours {own_wait:.3f}, ratio {wait / own_wait:.2f}; "
        f"{rate:.1f} tok/s, ours {own_rate:.1f}, ratio {own_rate / rate:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
