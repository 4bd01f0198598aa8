"""An answer in a process that is forked for it, as ZeroGPU does: our engine made there, or weights moved there.

`python -m bench.gpu_lent FOLDER ours|plain` prints, as JSON, the seconds from the fork to the first token and to the last
of an answer, and with ours those of a second answer of the same process. The process that is forked has never touched the
card. With `plain` it holds the weights, read by transformers before the clock starts, and the other moves them to the card;
ZeroGPU moves them from the disk through page-locked memory, which may be faster.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.gpu_report import Figures

__all__ = ["lent"]

ROOT = Path(__file__).parent.parent


def lent(folder: Path, plain: bool) -> Figures:
    """Return the seconds of an answer in a new process: ours, the kernels compiled by one before, and the plain way."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TRITON_CACHE_DIR": cache}
        compiling, ours = (_measured(folder, "ours", environment) for _ in range(2))
    row = {"ours": ours[1], "first token": ours[0], "the first of all": compiling[1], "the next": ours[3]}
    if plain:
        first, row["plain"] = _measured(folder, "plain", dict(os.environ))
        row["plain, first token"] = first
    return {"answer on a lent card, s": row}


def _measured(folder: Path, how: str, environment: dict[str, str]) -> list[float]:
    command = [sys.executable, "-m", "bench.gpu_lent", str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _ours(folder: Path) -> Callable[[int], Iterator[int]]:
    from bench.gpu import ANSWER, PROMPT, engine, random_prompts
    from rag_core.engines.lent import LentEngine

    made = LentEngine(partial(engine, folder, most_chats=1, prepare=False))

    def answer(number: int) -> Iterator[int]:
        for step in made.generate(random_prompts(2, PROMPT)[number], ANSWER):
            yield from step.tokens

    return answer


def _plain(folder: Path) -> Callable[[int], Iterator[int]]:
    from transformers import AutoModelForCausalLM

    from bench.gpu import ANSWER, PROMPT, random_prompts

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)

    def answer(number: int) -> Iterator[int]:
        ids = torch.tensor([random_prompts(2, PROMPT)[number]], device="cuda")
        there = model.to("cuda")
        for count in (1, ANSWER):
            out = there.generate(ids, max_new_tokens=count, min_new_tokens=count, do_sample=False)
            yield int(out[0, -1])

    return answer


def _timed(answer: Callable[[int], Iterator[int]], answers: int, pipe: Any) -> None:
    pipe.send(0)
    for number in range(answers):
        tokens = answer(number)
        next(tokens)
        pipe.send(1)
        for _ in tokens:
            pass
        pipe.send(2)


def main() -> None:
    """Time one way."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    answer = (_ours if how == "ours" else _plain)(folder)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    answers = 2 if how == "ours" else 1
    worker = context.Process(target=_timed, args=(answer, answers, there), daemon=True)
    found = []
    started = time.perf_counter()
    worker.start()
    here.recv()
    for _ in range(answers):
        for _ in range(2):
            here.recv()
            found.append(time.perf_counter() - started)
        started = time.perf_counter()
    worker.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
