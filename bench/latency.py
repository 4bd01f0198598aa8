"""Speed and memory, ours against the plain recipe in one run.

`python -m bench.latency [--repeats 3] [--out bench/results]` measures indexing of the 20-page sample report and of a
200-page text, time to the first words (of a look-up, and of an answer that the model writes), tokens a second over the same
prompt (and whether the text is the same), cold and warm start and peak memory. Each start is a process of its own. It
prints a table, and writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "sample_files" / "norvellan_annual_report_2023.pdf"
TEXTS = ("options.md", "haircut.txt", "working_capital.md", "credit_spread.txt")
QUESTION = "When does the term loan mature?"
QUESTIONS = (
    QUESTION,
    "What dividend per share does the Management Board propose for 2023?",
    "How many sites send readings to the Tidemark platform?",
)
# Our small model's policy reads what is looked up out of the document; these it has to write.
WRITTEN = (
    "Does the term loan mature in 2026?",
    "Is the dividend that is proposed for 2023 above half a euro per share?",
    "Do more than a thousand sites send readings to the Tidemark platform?",
)
WARM_UP = "Does anyone chair the audit committee?"
START = "Is a haircut a part of the market value?"


def long_text() -> str:
    """Return about 200 pages (3,000 characters each) made of the sample texts, each section told apart by its number."""
    sources = [(ROOT / "sample_files" / name).read_text(encoding="utf-8") for name in TEXTS]
    parts, length, number = [], 0, 0
    while length < 200 * 3_000:
        number += 1
        part = f"Section {number}\n\n{sources[number % len(sources)]}\n\n"
        parts.append(part)
        length += len(part)
    return "".join(parts)


def timed(run: Callable[[], Any]) -> float:
    """Return the seconds that `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Return for each figure what ours and what plain measured (medians where repeated)."""
    from bench.baseline import PlainRecipe, pdf_text
    from rag_core import RagConfig, RagPipeline

    ours, plain = RagPipeline(RagConfig()), PlainRecipe()
    ours.warm_up()
    plain.load_embedder()
    plain.load_model()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "long.txt"
        text.write_text(long_text(), encoding="utf-8")
        jobs = {
            "index 20-page report (s)": (REPORT, lambda: plain.index(pdf_text(REPORT))),
            "index 200-page text (s)": (text, lambda: plain.index([text.read_text(encoding="utf-8")])),
        }
        for name, (path, plain_job) in jobs.items():
            pairs = []
            for _ in range(repeats if path is REPORT else 1):
                with ours.session() as session:
                    mine = timed(lambda path=path, session=session: session.add_document(path))
                pairs.append((mine, timed(plain_job)))
                plain.forget()
            figures[name] = _medians(pairs)
    figures.update(_answers(ours, plain, repeats))
    ours.close()
    return figures


def _medians(pairs: list[tuple[float, float]]) -> dict[str, float]:
    return {"ours": statistics.median(a for a, _ in pairs), "plain": statistics.median(b for _, b in pairs)}


def _answers(ours: Any, plain: Any, repeats: int) -> dict[str, dict[str, float]]:
    """Measure the first token over both recipes' own prompts, then decoding over one and the same prompt."""
    from bench.baseline import pdf_text

    kinds = {"first words of a look-up (s)": QUESTIONS, "time to first token, written (s)": WRITTEN}
    first: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    with ours.session() as session:
        session.add_document(REPORT)
        plain.index(pdf_text(REPORT))
        session.ask(WARM_UP)
        list(plain.stream(WARM_UP, 4))
        for name, questions in kinds.items():
            for question in questions * repeats:
                first[name].append((_first_text(session.stream(question)), _first_text(plain.stream(question, 2))))
        plain.forget()
    decode, same = _decode(ours, plain, repeats)
    return {
        **{name: _medians(pairs) for name, pairs in first.items()},
        "decoding (tokens/s)": decode,
        "same greedy text (share)": {"ours": same, "plain": 1.0},
    }


def _first_text(stream: Any) -> float:
    started = time.perf_counter()
    for item in stream:
        if getattr(item, "text", item):  # events of ours, strings of the other
            break
    seconds = time.perf_counter() - started
    if hasattr(stream, "close"):
        stream.close()
    return seconds


def _decode(ours: Any, plain: Any, repeats: int, tokens: int = 96) -> tuple[dict[str, float], float]:
    """Return tokens a second of both over the same prompts, and the share of equal texts."""
    import torch

    from rag_core.policy import policy_for
    from rag_core.prompting import build_prompt

    model, tokenizer = plain.model
    pairs, equal = [], []
    with ours.session() as session:
        session.add_document(REPORT)
        policy = policy_for(ours.generator.name, ours.config.generation)
        for question in QUESTIONS * repeats:
            prompt = build_prompt(question, session.search(question), [], policy, ours.generator.count_tokens)
            chat = [{"role": message.role, "content": message.content} for message in prompt.messages]
            ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
            started = time.perf_counter()
            with torch.inference_mode():
                model.generate(**ids, max_new_tokens=1, do_sample=False)
            prefill = time.perf_counter() - started
            started = time.perf_counter()
            with torch.inference_mode():
                out = model.generate(**ids, max_new_tokens=tokens, do_sample=False)
            new = out[0][ids["input_ids"].shape[1] :]
            plain_rate = (len(new) - 1) / max(1e-9, time.perf_counter() - started - prefill)
            text, rate = _our_rate(ours.generator, prompt.messages, tokens)
            pairs.append((rate, plain_rate))
            equal.append(text.strip() == tokenizer.decode(new, skip_special_tokens=True).strip())
    return _medians(pairs), sum(equal) / len(equal)


def _our_rate(generator: Any, messages: Any, tokens: int) -> tuple[str, float]:
    text, count, first = "", 0, 0.0
    for delta in generator.stream(messages, max_new_tokens=tokens):
        text += delta.text
        if delta.tokens and not count:
            first = time.perf_counter()
        count += delta.tokens
    return text, (count - 1) / max(1e-9, time.perf_counter() - first)


_START_OURS = """
import sys
from pathlib import Path
from rag_core import RagConfig, RagPipeline
config = RagConfig().with_setting("cache_directory", Path(sys.argv[1]))
rag = RagPipeline(config)
rag.prepare()
rag.add_document(sys.argv[2])
stream = rag.stream(sys.argv[3])
print(next(event.text for event in stream if event.text))
stream.close()
"""
_START_PLAIN = """
import sys
from pathlib import Path
from bench.baseline import PlainRecipe, pdf_text
plain = PlainRecipe()
plain.index(pdf_text(Path(sys.argv[2])))
plain.load_model()
print("".join(plain.stream(sys.argv[3], 2)))
"""
# The kernel's own account of this process: `getrusage` begins with what the process that started it held.
_PEAK = """
import re
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024, file=sys.stderr)
"""


def starts() -> dict[str, dict[str, float]]:
    """Measure whole processes from start to the first token over a two-page document; cold has no converted model."""
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        cold, peak = _process(_START_OURS, cache)
        warm, peak = _process(_START_OURS, cache)
        plain, plain_peak = _process(_START_PLAIN, cache)
    figures["cold start to first token (s)"] = {"ours": cold, "plain": plain}
    figures["warm start to first token (s)"] = {"ours": warm, "plain": plain}
    figures["peak memory (MiB)"] = {"ours": peak, "plain": plain_peak}
    return figures


def _process(code: str, cache: str) -> tuple[float, float]:
    """Run `code` in a new process; return its seconds and its peak resident memory in MiB."""
    sample = ROOT / "sample_files" / "haircut.txt"
    wrapped = code + _PEAK
    if "pdf_text" in code:
        wrapped = wrapped.replace("pdf_text(Path(sys.argv[2]))", "[Path(sys.argv[2]).read_text()]")
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", wrapped, cache, str(sample), START],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    return time.perf_counter() - started, float(done.stderr.strip().splitlines()[-1])


def report(figures: dict[str, dict[str, float]], load: float, out: Path) -> None:
    """Print the table, write JSON and the picture. `load` is the number of other processes that wanted to run before."""
    from bench.pictures import bars

    for name, pair in figures.items():
        better = (
            pair["plain"] / pair["ours"]
            if "(tokens/s)" not in name and "share" not in name
            else pair["ours"] / pair["plain"]
        )
        pair["ratio"] = better
        print(f"{name:<32} ours {pair['ours']:>9.3f}   plain {pair['plain']:>9.3f}   ratio {better:>6.2f}")
    out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if load > 0.5:
        # Threads that wait for each other suffer most from neighbours, so even ratios are not those of a quiet machine.
        print(f"The load was {load:.1f} before the first measurement: these figures are those of a busy machine.")
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "load_before": load, "figures": figures}
    (out / "latency.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    bars(
        {name: pair["ratio"] for name, pair in figures.items() if "share" not in name},
        "Times better than the plain recipe",
        out / "latency.png",
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    figures = measure(options.repeats)
    figures.update(starts())
    report(figures, load, options.out)


if __name__ == "__main__":
    main()
