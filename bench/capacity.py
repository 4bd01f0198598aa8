"""How many GPUs, cores and GiB for how many users: a seeded simulation over measured service times.

`python -m bench.capacity` prints the table of docs/SCALE.md and writes JSON and a picture into bench/results. Users think
for an exponential time, ask, and read. One GPU serves up to `chats` answers at once, each step of all of them taking
`idle + share * running` seconds, a line through the measured rows; a prompt is computed before its answer starts, and
holds the others up meanwhile, as in a server without chunked prefill. GPUs are alike, so one is simulated with its share
of the users, and their number is the smallest that keeps the 95th percentile of the wait for the first token.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
USERS = (10, 1_000, 100_000)
# Of a GPU's hour, as an assumption: no vendor's price. `--gpu-hour` sets it.
GPU_HOUR = 4.0


@dataclass(frozen=True)
class Load:
    """What users do. Times in seconds, sizes in tokens; `document_windows` of one visitor's documents together."""

    think_seconds: float = 60.0
    prompt_tokens: int = 2_048
    answer_tokens: int = 128
    visit_seconds: float = 1_800.0
    document_windows: int = 140
    search_core_seconds: float = 0.02
    index_core_seconds: float = 1.5
    first_token_seconds: float = 3.0


@dataclass(frozen=True)
class Gpu:
    """What one GPU does: a step of n chats takes `idle_seconds + n * share_seconds`, and gives n tokens."""

    name: str
    chats: int
    idle_seconds: float
    share_seconds: float
    prefill_tokens_per_second: float

    @property
    def most_tokens_per_second(self) -> float:
        """Tokens a second with all places taken."""
        return self.chats / (self.idle_seconds + self.chats * self.share_seconds)


@dataclass(frozen=True)
class Outcome:
    """Of one simulated GPU: percentiles of the first token and of whole answers in seconds, answers a second, busy share."""

    first_p50: float
    first_p95: float
    whole_p95: float
    answers_per_second: float
    busy: float


@dataclass(frozen=True)
class Plan:
    """One row of the table."""

    users: int
    engine: str
    gpus: int
    users_a_gpu: int
    first_p95: float
    whole_p95: float
    answers_per_second: float
    busy: float
    app_cores: int
    app_replicas: int
    index_gib: float
    cost_per_1000_answers: float


def engines(service: dict[str, Any]) -> list[Gpu]:
    """Return what is planned with: our engine and batches by transformers, each a line through two measured rows."""
    gpu = service["gpu"]
    rows = {row["name"]: row for row in gpu["rows"]}

    def line(name: str, alone: str, batch: str, prefill: float) -> Gpu:
        one, many = rows[alone], rows[batch]
        step_one, step_many = (row["chats"] / row["tokens_per_second"] for row in (one, many))
        share = (step_many - step_one) / (many["chats"] - one["chats"])
        return Gpu(name, many["chats"], step_one - share, share, 2_048 / prefill)

    return [
        line(
            "ours: 64 chats",
            "our engine, one chat",
            "our engine, 64 chats, prompts read",
            gpu["prefill_seconds_for_2048_tokens"],
        ),
        line(
            "transformers: batches of 32",
            "plain generate, one chat",
            "plain generate, 32 prompts of 1,024 as one batch",
            gpu["plain_prefill_seconds_for_2048_tokens"],
        ),
    ]


def simulate(gpu: Gpu, users: int, load: Load, seconds: float, seed: int) -> Outcome:
    """Run one GPU with `users` users for `seconds` of simulated time, after a tenth of it to settle."""
    draw = random.Random(seed)
    asking = [draw.expovariate(1.0 / load.think_seconds) for _ in range(users)]
    heapq.heapify(asking)
    waiting: list[float] = []
    running: list[tuple[float, int]] = []  # when asked, tokens still to come
    firsts: list[float] = []
    wholes: list[float] = []
    clock = busy = 0.0
    settled = seconds / 10
    while clock < seconds:
        while asking and asking[0] <= clock:
            waiting.append(heapq.heappop(asking))
        if waiting and len(running) < gpu.chats:
            spent = load.prompt_tokens / gpu.prefill_tokens_per_second
            clock += spent
            busy += spent
            asked = waiting.pop(0)
            firsts += [clock - asked] if asked >= settled else []
            running.append((asked, max(1, round(draw.expovariate(1.0 / load.answer_tokens)))))
        elif running:
            spent = gpu.idle_seconds + len(running) * gpu.share_seconds
            clock += spent
            busy += spent
            left = []
            for asked, tokens in running:
                if tokens > 1:
                    left.append((asked, tokens - 1))
                    continue
                wholes += [clock - asked] if asked >= settled else []
                heapq.heappush(asking, clock + draw.expovariate(1.0 / load.think_seconds))
            running = left
        else:
            clock = asking[0] if asking else seconds
    return Outcome(
        _percentile(firsts, 0.5),
        _percentile(firsts, 0.95),
        _percentile(wholes, 0.95),
        len(wholes) / (clock - settled),
        min(1.0, busy / clock),
    )


def users_a_gpu(gpu: Gpu, load: Load, seconds: float, seed: int) -> int:
    """Return the most users that one GPU serves within the wait that is allowed."""
    low, high = 1, 2
    while simulate(gpu, high, load, seconds, seed).first_p95 <= load.first_token_seconds:
        low, high = high, high * 2
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        if simulate(gpu, middle, load, seconds, seed).first_p95 <= load.first_token_seconds:
            low = middle
        else:
            high = middle
    return low


def plan(users: int, gpu: Gpu, most: int, load: Load, options: argparse.Namespace) -> Plan:
    """Return what `users` need, where one GPU serves `most`."""
    gpus = math.ceil(users / most)
    share = math.ceil(users / gpus)
    outcome = simulate(gpu, share, load, options.seconds, options.seed)
    rate = outcome.answers_per_second * users / share
    # Half of each core is kept free for peaks.
    cores = 2 * (rate * load.search_core_seconds + users / load.visit_seconds * load.index_core_seconds)
    return Plan(
        users,
        gpu.name,
        gpus,
        share,
        round(outcome.first_p95, 2),
        round(outcome.whole_p95, 1),
        round(rate, 2),
        round(outcome.busy, 2),
        max(2, math.ceil(cores)),
        max(1, math.ceil(users / options.visitors)),
        round(users * load.document_windows * options.bytes_a_window / 1024**3, 2),
        round(gpus * options.gpu_hour / 3_600 / max(rate, 1e-9) * 1_000, 2),
    )


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else math.inf


def main() -> None:
    """Simulate and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, nargs="*", default=list(USERS))
    parser.add_argument("--service", type=Path, default=RESULTS / "service.json", help="measured service times")
    parser.add_argument("--seconds", type=float, default=1_800.0, help="simulated time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gpu-hour", type=float, default=GPU_HOUR, help="price of a GPU's hour; an assumption")
    parser.add_argument("--visitors", type=int, default=1_000, help="APP_VISITORS of one replica of the app")
    parser.add_argument("--bytes-a-window", type=float, default=14_000, help="index memory of an embedded window")
    for name, value in asdict(Load()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = Load(**{name: getattr(options, name) for name in asdict(Load())})
    plans = []
    for gpu in engines(json.loads(options.service.read_text(encoding="utf-8"))):
        most = users_a_gpu(gpu, load, options.seconds, options.seed)
        plans += [plan(users, gpu, most, load, options) for users in options.users]
    report(plans, load, options)


def report(plans: list[Plan], load: Load, options: argparse.Namespace) -> None:
    """Print the table, write JSON and the picture."""
    from bench.pictures import bars

    head = ("users", "engine", "GPUs", "first p95 s", "whole p95 s", "answers/s", "busy", "cores", "apps", "index GiB")
    print(" | ".join([*head, f"cost of 1,000 answers at {options.gpu_hour:g} a GPU hour"]))
    for row in plans:
        shown = (row.users, row.engine, row.gpus, row.first_p95, row.whole_p95, row.answers_per_second, row.busy)
        print(" | ".join(map(str, (*shown, row.app_cores, row.app_replicas, row.index_gib, row.cost_per_1000_answers))))
    options.out.mkdir(parents=True, exist_ok=True)
    content = {"date": time.strftime("%Y-%m-%d"), "load": asdict(load), "rows": [asdict(row) for row in plans]}
    (options.out / "capacity.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    ratios = {f"{row.users:,} users, {row.engine.split(':')[0]}": row.users / row.gpus for row in plans}
    bars(ratios, "Users that one GPU serves", options.out / "capacity.png")


if __name__ == "__main__":
    main()
