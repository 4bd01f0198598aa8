"""Adapter and head into the base's weights, tensor by tensor in float32, rounded once: memory for one output shard.

The base is read from its files, in full precision, and never held as a model: PEFT gets a base whose weights are
stand-ins of the right shape that take no memory, loads the adapter onto it, and merges one layer at a time into the
weight that is lent to it. The result is what `PeftModel.from_pretrained(...).merge_and_unload()` gives for the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.base import explained
from train.checkpoint import Checkpoint
from train.errors import BaseModelError, CheckpointError
from train.heads import HEAD_KEY, LEGACY_HEAD_FILE, load_head, untie
from train.weightfiles import INDEX_FILE, base_tensors, read_tensor, written

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPES",
    "Merger",
    "Part",
    "adapter_scale",
]

DTYPES = ("bfloat16", "float16", "float32")
# Old Llama files carry these; no model has them as a weight.
_NOT_WEIGHTS = ("rotary_emb.inv_freq",)
# Kinds of LoRA whose merge is more than alpha / rank x B A, by their key in adapter_config.json.
_OTHER_KINDS = (
    "use_dora",
    "use_rslora",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "fan_in_fan_out",
    "alora_invocation_tokens",
    "arrow_config",
)


@dataclass(frozen=True)
class Part:
    """One tensor of the result: its name, its shape, and where the base has what it starts from."""

    name: str
    shape: tuple[int, ...]
    source: str
    path: Path

    @property
    def size(self) -> int:
        """Number of weights."""
        return prod(self.shape)


def adapter_scale(checkpoint: Checkpoint) -> float:
    """Return alpha / rank, what the product of the factors is scaled by, from the adapter's own config.

    Raises CheckpointError where it is of a kind that `train.finetune` does not write.
    """
    path = checkpoint.folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        other = [key for key in _OTHER_KINDS if config.get(key)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); take another checkpoint") from error
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or other or rank < 1:
        kind = other[0] if other else f"{config.get('peft_type')}, bias {config.get('bias')}"
        raise CheckpointError(f"{path}: {kind} is not merged here; plain LoRA on linear layers is")
    return alpha / rank


class Merger:
    """A checkpoint over a base, ready to merge. Holds the adapter and the head, not the base."""

    def __init__(self, base: Path, checkpoint: Checkpoint) -> None:
        """Read adapter and head, and check that they fit. Raises BaseModelError, CheckpointError."""
        self.checkpoint = checkpoint
        adapter_scale(checkpoint)
        self._stored = base_tensors(base)
        with explained(base.name):
            model = _stand_in(base)
        self.head = load_head(checkpoint.folder, tuple(model.get_output_embeddings().weight.shape))
        if self.head is None and checkpoint.has_head:
            raise CheckpointError(
                f"{checkpoint.folder} was trained with its head and holds none (head.safetensors or "
                f"{LEGACY_HEAD_FILE}); take another checkpoint"
            )
        self.tied = bool(model.config.tie_word_embeddings) and self.head is None
        if not self.tied:
            untie(model)
        names = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        self._embedding = _name_of(model, model.get_input_embeddings())
        self._model = _with_adapter(model, checkpoint)
        self.parts = tuple(self._planned(names, base))

    def merge(self, part: Part) -> torch.Tensor:
        """Return a tensor of the merged model in float32. Raises CheckpointError where it is not finite."""
        import torch

        if part.name == HEAD_KEY and self.head is not None:
            weight = self.head.float()
        else:
            weight = read_tensor(part.path, part.source).float()
        layer = self._layer(part.name)
        if layer is None:
            return weight
        owner = layer.get_base_layer()
        stand_in, owner.weight = owner.weight, torch.nn.Parameter(weight, requires_grad=False)
        try:
            layer.merge(safe_merge=True)
            merged: torch.Tensor = owner.weight.data
        except ValueError as error:
            raise CheckpointError(f"{self.checkpoint.folder}: {part.name} is not finite once merged") from error
        finally:
            owner.weight = stand_in
            layer.merged_adapters.clear()
        return merged

    def write(self, folder: Path, dtype: str, shard_bytes: int, on_progress: Callable[[str], None]) -> None:
        """Write the merged weights into `folder` in shards of about `shard_bytes`. Raises CheckpointError, DiskError."""
        import torch
        from safetensors.torch import save_file

        kind: torch.dtype = getattr(torch, dtype)
        shards = _sharded(self.parts, kind.itemsize, shard_bytes)
        weight_map = {}
        for number, parts in enumerate(shards, start=1):
            name = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            on_progress(f"merging: shard {number} of {len(shards)}")
            tensors = {part.name: self._rounded(part, kind) for part in parts}
            with written(folder):
                save_file(tensors, str(folder / name), metadata={"format": "pt"})
            weight_map.update(dict.fromkeys(tensors, name))
        if len(shards) > 1:
            total = sum(part.size for part in self.parts)
            index = {"metadata": {"total_size": total * kind.itemsize, "total_parameters": total}}
            with written(folder):
                text = json.dumps({**index, "weight_map": weight_map}, indent=1)
                (folder / INDEX_FILE).write_text(text, encoding="utf-8")

    def _rounded(self, part: Part, dtype: torch.dtype) -> torch.Tensor:
        import torch

        rounded = self.merge(part).to(dtype).contiguous()
        # Both ends in one pass and without a copy; a NaN anywhere makes both NaN.
        low, high = (float(end) for end in torch.aminmax(rounded))
        if not (isfinite(low) and isfinite(high)):
            raise CheckpointError(f"{part.name} holds values that {dtype} cannot; --dtype bfloat16 or float32")
        return rounded

    def _layer(self, name: str) -> Any:
        """Return PEFT's layer over the weight of that name, None where it has none."""
        from peft.tuners.lora import LoraLayer

        module, _, kind = name.rpartition(".")
        found = self._model.get_base_model().get_submodule(module)
        return found if kind == "weight" and isinstance(found, LoraLayer) else None

    def _planned(self, names: dict[str, tuple[int, ...]], base: Path) -> Iterator[Part]:
        """Yield the tensors of the result in the order of the base's files, the untied head last."""
        wanted = {name for name in names if not (self.tied and name == HEAD_KEY)}
        for name, (path, shape) in self._stored.items():
            if name in wanted:
                if shape != names[name]:
                    raise BaseModelError(f"{path}: {name} is {shape} and its config says {names[name]}")
                wanted.remove(name)
                yield Part(name, shape, name, path)
            elif not name.endswith(_NOT_WEIGHTS) and name != HEAD_KEY:
                raise BaseModelError(f"{path}: {name} is no weight of the model that {base.name}'s config describes")
        if HEAD_KEY in wanted and self._embedding in self._stored:
            wanted.remove(HEAD_KEY)
            yield Part(HEAD_KEY, names[HEAD_KEY], self._embedding, self._stored[self._embedding][0])
        if wanted:
            raise BaseModelError(f"{base} is not whole: {min(wanted)} is missing; download the base again")


def _stand_in(base: Path) -> Any:
    """Return the base's model with weights that are views of a single zero: right in shape, type and device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(base), trust_remote_code=False)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    swapped: dict[int, Any] = {}
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            view = torch.zeros(()).expand(weight.shape)
            # A tied weight is one object in two places, and stays one.
            swapped.setdefault(id(weight), torch.nn.Parameter(view, requires_grad=False))
            setattr(module, name, swapped[id(weight)])
    return model


def _with_adapter(model: Any, checkpoint: Checkpoint) -> Any:
    """Return `model` inside PEFT with the checkpoint's adapter, every factor of it read. Raises CheckpointError."""
    from peft import PeftModel
    from peft.utils.save_and_load import load_peft_weights

    folder = str(checkpoint.folder)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    try:
        wrapped: Any = PeftModel.from_pretrained(model, folder, is_trainable=False, torch_device="cpu")
        stored = {
            key.replace("_A.weight", "_A.default.weight").replace("_B.weight", "_B.default.weight")
            for key in load_peft_weights(folder, device="cpu")
        }
    except Exception as error:  # PEFT, torch and safetensors raise kinds of their own.
        reason = str(error).splitlines()[-1].strip() if str(error) else type(error).__name__
        raise CheckpointError(f"{folder}: its adapter does not fit the base ({reason})") from error
    needed = {key for key in wrapped.state_dict() if "lora_" in key}
    if needed != stored:
        odd = min(needed ^ stored)
        raise CheckpointError(f"{folder}: the adapter does not fit the base: {odd} stands on one side only")
    inner = wrapped.get_base_model()
    if (inner.get_input_embeddings(), inner.get_output_embeddings()) != ends:
        raise CheckpointError(
            f"{folder}: an adapter on embeddings or head is not merged here; the head trains in place"
        )
    return wrapped


def _name_of(model: Any, module: Any) -> str:
    return next(f"{name}.weight" for name, found in model.named_modules() if found is module)


def _sharded(parts: tuple[Part, ...], width: int, shard_bytes: int) -> list[list[Part]]:
    shards: list[list[Part]] = []
    room = 0
    for part in parts:
        if not shards or part.size * width > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(part)
        room -= part.size * width
    return shards
