"""The weights of a Llama-type model in the form that the kernels read, from a folder or from a GGUF file.

Rows of queries and keys are kept so that the two numbers that rotate together are neighbours. GGUF files have them so;
in safetensors they stand half a head apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag_core.engines.packing import PackedMatrix, pack_gguf, pack_tensor
from rag_core.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

    from rag_core.engines.llama import LlamaSettings

__all__ = ["PACKED_FILE", "FolderTensors", "LlamaWeights", "read_weights", "write_packed"]

# Beside the converted model: the GGUF's own four and eight bits, in tiles.
PACKED_FILE = "packed.tiles"
_PARTS = (
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
)
_NORMS = (("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"))

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LlamaWeights:
    """Matrices by layer (queries, keys, values, out, gate, up, down), norms float32 (layers, 2, hidden)."""

    layers: list[tuple[PackedMatrix, ...]]
    norms: Array
    last_norm: Array
    embedding: PackedMatrix
    head: PackedMatrix


def read_weights(folder: Path, settings: LlamaSettings) -> LlamaWeights:
    """Read all weights. Raises ModelLoadError where one is absent or has another shape than config.json says."""
    if (folder / PACKED_FILE).is_file():
        stored = _Packed(folder / PACKED_FILE)
        return _assemble(settings, stored.matrix, stored.vector)
    tensors = FolderTensors(folder)
    return _assemble(settings, lambda name, shape: tensors.matrix(name, shape, settings.head_size), tensors.vector)


def _assemble(
    s: LlamaSettings,
    matrix: Callable[[str, tuple[int, int]], PackedMatrix],
    vector: Callable[[str, int], Array],
) -> LlamaWeights:
    queries, keys = s.heads * s.head_size, s.key_value_heads * s.head_size
    shapes = (
        (queries, s.hidden),
        (keys, s.hidden),
        (keys, s.hidden),
        (s.hidden, queries),
        (s.feed_forward, s.hidden),
        (s.feed_forward, s.hidden),
        (s.hidden, s.feed_forward),
    )
    layers, norms = [], np.empty((s.layers, 2, s.hidden), dtype=np.float32)
    for layer in range(s.layers):
        at = f"model.layers.{layer}."
        layers.append(
            tuple(matrix(f"{at}{part}.weight", shape) for (part, _), shape in zip(_PARTS, shapes, strict=True))
        )
        for place, (norm, _) in enumerate(_NORMS):
            norms[layer, place] = vector(f"{at}{norm}.weight", s.hidden)
    embedding = matrix("model.embed_tokens.weight", (s.vocabulary, s.hidden))
    head = embedding if s.tied else matrix("lm_head.weight", (s.vocabulary, s.hidden))
    return LlamaWeights(layers, norms, vector("model.norm.weight", s.hidden), embedding, head)


def write_packed(gguf: Path, folder: Path) -> None:
    """Write PACKED_FILE into `folder` from a GGUF file; nothing where a tensor is of a kind that is not packed."""
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    names = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    names["output.weight"] = "lm_head.weight"
    arrays: dict[str, Array] = {}
    for tensor in GGUFReader(gguf).tensors:
        prefix, _, rest = tensor.name.partition(".")
        if prefix == "blk":
            number, _, part = rest.partition(".")
            known = {theirs: ours for ours, theirs in (*_PARTS, *_NORMS)}.get(part.removesuffix(".weight"))
            name = f"model.layers.{number}.{known}.weight" if known else ""
        else:
            name = names.get(tensor.name, "")
        shape = [int(size) for size in tensor.shape]
        if not name:
            continue
        if len(shape) == 1:
            arrays[name] = np.asarray(tensor.data, dtype=np.float32)
            continue
        packed = _pack_either(tensor.data, tensor.tensor_type.name, shape[1], shape[0])
        if packed is None:
            return
        arrays[f"{name}.data"] = packed.data
        arrays[f"{name}.scale"], arrays[f"{name}.offset"] = packed.scale, packed.offset
        arrays[f"{name}.shape"] = np.array([packed.outputs, packed.inputs], dtype=np.int64)
    save_file(arrays, str(folder / PACKED_FILE))


def _pack_either(data: Array, kind: str, outputs: int, inputs: int) -> PackedMatrix | None:
    if kind in ("F32", "F16"):
        import torch

        return pack_tensor(torch.from_numpy(np.array(data)).float().reshape(outputs, inputs))
    return pack_gguf(data, kind, outputs, inputs)


class _Packed:
    """Matrices as `write_packed` left them."""

    def __init__(self, path: Path) -> None:
        from safetensors.numpy import load_file

        self._arrays = load_file(str(path))
        self._path = path

    def matrix(self, name: str, shape: tuple[int, int]) -> PackedMatrix:
        try:
            outputs, inputs = (int(size) for size in self._arrays[f"{name}.shape"])
            parts = [self._arrays[f"{name}.{part}"] for part in ("data", "scale", "offset")]
        except KeyError as error:
            raise _lacking(self._path, name) from error
        _check(self._path, name, (outputs, inputs), shape)
        return PackedMatrix(outputs, inputs, parts[0], parts[1], parts[2])

    def vector(self, name: str, size: int) -> Array:
        if name not in self._arrays:
            raise _lacking(self._path, name)
        _check(self._path, name, self._arrays[name].shape, (size,))
        return self._arrays[name]


class FolderTensors:
    """The tensors of all safetensors files of a folder, read one at a time."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self._folder = folder
        self._where: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            self._where.update(dict.fromkeys(file.keys(), file))

    def matrix(self, name: str, shape: tuple[int, int], head_size: int) -> PackedMatrix:
        """Return a matrix packed, what rotates together side by side. Raises ModelLoadError, see `read_weights`."""
        tensor = self._get(name, shape)
        if ".q_proj." in name or ".k_proj." in name:
            rows, columns = shape
            tensor = tensor.view(-1, 2, head_size // 2, columns).transpose(1, 2).reshape(rows, columns)
        return pack_tensor(tensor)

    def vector(self, name: str, size: int) -> Array:
        """Return a vector as float32. Raises ModelLoadError, see `read_weights`."""
        found: Array = self._get(name, (size,)).float().numpy()
        return found

    def plain(self, name: str) -> Array:
        """Return a tensor as it lies there, as float32. Raises ModelLoadError where it is absent."""
        found: Array = self._found(name).float().numpy()
        return found

    def _found(self, name: str) -> torch.Tensor:
        if name not in self._where:
            raise _lacking(self._folder, name)
        tensor: torch.Tensor = self._where[name].get_tensor(name)
        return tensor

    def _get(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        tensor = self._found(name)
        _check(self._folder, name, tuple(tensor.shape), shape)
        return tensor


def _lacking(place: Path, name: str) -> ModelLoadError:
    return ModelLoadError(f"{place} lacks the weight {name}; delete it and download or convert the model again")


def _check(place: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise ModelLoadError(
            f"{name} in {place} is {found} and config.json says {expected}; delete it and get the model again"
        )
