"""Which engine suits a model on this machine: compiled kernels on a processor, ours for many chats on a card, or transformers."""

from __future__ import annotations

import logging
from pathlib import Path

from rag_core.config import RagConfig
from rag_core.engines.jit import compiled_before
from rag_core.engines.lent import LentEngine
from rag_core.engines.llama import LlamaSettings, read_settings
from rag_core.engines.memory import require_memory, thread_count
from rag_core.engines.steps import Engine
from rag_core.errors import ModelLoadError, OutOfMemoryError, RagError
from rag_core.models import gpu_available, on_zero_gpu
from rag_core.records import Progress, ProgressCallback

__all__ = ["make_engine"]

log = logging.getLogger(__name__)


def make_engine(
    config: RagConfig,
    folder: Path,
    stops: frozenset[int],
    length: int,
    on_progress: ProgressCallback | None = None,
) -> Engine:
    """Return the engine over the model of `folder`, for prompts and answers of `length` tokens where it must know.

    Raises ModelLoadError, OutOfMemoryError or ConfigError.
    """
    settings = config.generation
    if settings.device == "cuda" and not gpu_available():
        raise ModelLoadError("RAG_DEVICE is cuda and torch sees no CUDA GPU; set it to auto or cpu")
    if settings.device == "cpu" or not gpu_available():
        return _on_processor(config, folder, stops, on_progress)
    shape = read_settings(folder, windowed=True) if settings.cuda_engine else None
    if not on_zero_gpu():
        fast = _on_card(config, folder, shape, stops, length) if shape else None
        return fast or _transformers(config, folder, stops, device="cuda")
    if shape is None:
        return _transformers(config, folder, stops, device="cuda", lent_gpu=True)
    return LentEngine(
        lambda: (
            _on_card(config, folder, shape, stops, length, lent=True)
            or _transformers(config, folder, stops, device="cuda")
        )
    )


def _on_processor(
    config: RagConfig, folder: Path, stops: frozenset[int], on_progress: ProgressCallback | None
) -> Engine:
    settings = config.generation
    threads = thread_count(settings.threads)
    shape = None if settings.load_in_4bit else read_settings(folder)
    require_memory(folder, kept_small=shape is not None)
    if shape is not None and (engine := _compiled(config, folder, shape, stops, threads, on_progress)):
        return engine
    require_memory(folder, kept_small=False)
    import torch

    torch.set_num_threads(threads)
    return _transformers(config, folder, stops, device="cpu")


def _transformers(
    config: RagConfig, folder: Path, stops: frozenset[int], *, device: str, lent_gpu: bool = False
) -> Engine:
    from rag_core.engines.transformer import TransformersEngine

    settings = config.generation
    return TransformersEngine(
        folder,
        stops,
        device=device,
        load_in_4bit=settings.load_in_4bit,
        prompt_lookup=settings.prompt_lookup,
        lent_gpu=lent_gpu,
    )


def _on_card(
    config: RagConfig, folder: Path, shape: LlamaSettings, stops: frozenset[int], length: int, *, lent: bool = False
) -> Engine | None:
    """Return the engine for CUDA, None where it does not run on this card; `lent`: for one chat, nothing in advance."""
    from rag_core.engines.cuda.engine import CudaEngine, fits
    from rag_core.engines.transformer import device_dtype

    settings = config.generation
    dtype = device_dtype(on_gpu=True)
    four_bit = settings.load_in_4bit or not fits(folder, shape, length, dtype)
    try:
        return CudaEngine(
            folder,
            shape,
            stops,
            length=length,
            dtype=dtype,
            four_bit=four_bit,
            prompt_lookup=settings.prompt_lookup,
            most_chats=1 if lent else 64,
            prepare=not lent,
        )
    except OutOfMemoryError:
        raise
    except Exception as error:  # a driver too old, weights of another kind: transformers may still serve
        log.warning("The engine for CUDA does not run here, so answers come slower: %s", error, exc_info=error)
        return None


def _compiled(
    config: RagConfig,
    folder: Path,
    shape: LlamaSettings,
    stops: frozenset[int],
    threads: int,
    on_progress: ProgressCallback | None,
) -> Engine | None:
    """Return the engine of compiled kernels, None where this machine cannot compile them."""
    from rag_core.engines.cpu import CpuEngine

    cache, lookup = config.cache_directory, config.generation.prompt_lookup
    if on_progress and not compiled_before(cache):
        on_progress(Progress("converting", detail="kernels for this processor, once"))
    try:
        return CpuEngine(folder, shape, stops, cache, threads=threads, prompt_lookup=lookup)
    except (RagError, MemoryError):
        raise
    except Exception as error:  # numba is absent, or its compiler does not know this processor
        log.warning("The fast CPU engine does not run here, so answers come slower: %s", error, exc_info=error)
        return None
