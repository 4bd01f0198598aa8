"""The model that is trained: a base, quantised or not, with adapters, and its head trainable in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from train.errors import CheckpointError, SettingsError
from train.heads import head_of, load_head, untie

if TYPE_CHECKING:
    from pathlib import Path

    from train.settings import LoraSettings, TrainSettings

__all__ = ["add_adapters", "backbone_of", "decoder_layers", "load_trained", "restore", "train_head", "trainable_line"]


def lora_config(lora: LoraSettings) -> Any:
    """Return the settings of the adapters as PEFT's."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=list(lora.targets),
    )


def add_adapters(base: Any, settings: TrainSettings) -> Any:
    """Return `base` with adapters and, where the settings say so, a trainable head; everything else stands still.

    Adapters and head are float32 whatever the base is: AdamW's small updates would be lost in 16 bits.
    Raises SettingsError where no layer of the base has one of the names in `lora.targets`.
    """
    import torch
    from peft import get_peft_model

    for parameter in base.parameters():
        parameter.requires_grad_(False)
    if settings.head.train:
        untie(base)
    torch.manual_seed(settings.run.seed)
    try:
        model: Any = get_peft_model(base, lora_config(settings.lora), autocast_adapter_dtype=True)
    except ValueError as error:
        raise SettingsError(f"lora.targets {' '.join(settings.lora.targets)}: {error}") from error
    if settings.head.train:
        train_head(model)
    return model


def train_head(model: Any) -> None:
    """Make the head's weight float32 and trainable, in place: no copy of it stays behind."""
    import torch

    head = head_of(model)
    head.weight = torch.nn.Parameter(head.weight.detach().float(), requires_grad=True)


def backbone_of(model: Any) -> Any:
    """Return the part below the head, which makes hidden states (batch, tokens, hidden), plain or inside PEFT."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.model


def decoder_layers(model: Any) -> Any:
    """Return the decoder layers as a ModuleList."""
    return backbone_of(model).layers


def trainable_line(model: Any) -> str:
    """Return the counts of trainable and of all weights, in the form that PEFT prints; a 4-bit weight counts as one."""
    trainable = total = 0
    for parameter in model.parameters():
        count = parameter.numel()
        if type(parameter).__name__ == "Params4bit":
            # Two weights to a byte, stored in elements of quant_storage's size.
            count = 2 * count * parameter.element_size()
        total += count
        trainable += count if parameter.requires_grad else 0
    return f"trainable params: {trainable:,d} || all params: {total:,d} || trainable%: {100 * trainable / total}"


def restore(model: Any, folder: Path) -> None:
    """Put the adapters and the head of a checkpoint into a model from `add_adapters`. Raises CheckpointError."""
    import torch
    from peft import set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "adapter_model.safetensors"
    try:
        weights = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read; take the checkpoint from the Hub again, or another one"
        ) from error
    outcome: Any = set_peft_model_state_dict(model, weights)
    missing = [key for key in outcome.missing_keys if "lora_" in key]
    if missing or outcome.unexpected_keys:
        raise CheckpointError(
            f"{path} does not fit: {(missing + list(outcome.unexpected_keys))[0]}; another base or rank"
        )
    head = head_of(model)
    found = load_head(folder, tuple(head.weight.shape))
    if found is not None:
        with torch.no_grad():
            head.weight.copy_(found)


def load_trained(base: Any, folder: Path) -> Any:
    """Return `base` with the adapters and the head of a checkpoint, for evaluation: nothing is trainable.

    The head is put in the base's own type. Raises CheckpointError.
    """
    import torch
    from peft import PeftModel

    head = head_of(base)
    found = load_head(folder, tuple(head.weight.shape))
    if found is not None:
        untie(base)
        head.weight = torch.nn.Parameter(found.to(head.weight.device, head.weight.dtype), requires_grad=False)
    try:
        model: Any = PeftModel.from_pretrained(base, str(folder), is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder}: its adapter does not fit the base ({str(error).splitlines()[0]})") from error
    return model.eval()
