"""The sentence encoder as a module that learns: tokens to unit vectors, and the loss over right and wrong passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import BaseModelError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = [
    "MAX_TOKENS",
    "base_folder",
    "contrastive_loss",
    "embed",
    "encode_rows",
    "load_encoder",
    "open_tokenizer",
    "token_ids",
]

# Word pieces of a text with its two special tokens, as MiniLM reads them.
MAX_TOKENS = 256
# Tokens that are embedded at once, padding counted.
_GPU_TOKENS, _CPU_TOKENS = 262_144, 4_096


def base_folder(folder: Path | None) -> Path:
    """Return `folder`, or that of the embedded sentence encoder where it is None. Raises ModelError or BaseModelError."""
    if folder is None:
        from train.reader.network import base_encoder

        return base_encoder()
    missing = [name for name in ("config.json", "tokenizer.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise BaseModelError(f"{folder} has no {missing[0]}; name the folder of a sentence encoder of the BERT family")
    return folder


def open_tokenizer(folder: Path | None) -> Tokenizer:
    """Return the tokenizer in `folder` (the embedded encoder's where None), without its cut and its padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base_folder(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def load_encoder(
    folder: Path, device: torch.device, changes: Mapping[str, torch.Tensor] | None = None, mix: float = 1.0
) -> Any:
    """Return the encoder in float32 with `mix` times the changes added to its tensors, ready to embed."""
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    # Its report of weights that stay unused (the pooler's) and its progress bar are no news here.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    encoder: Any = AutoModel.from_pretrained(str(folder), dtype=torch.float32, add_pooling_layer=False)
    tensors = encoder.state_dict()
    for name, change in (changes or {}).items():
        if name not in tensors or tensors[name].shape != change.shape:
            raise BaseModelError(f"The change is of another encoder than that in {folder}: {name} does not fit")
        tensors[name] += mix * change
    return encoder.to(device).eval()


def token_ids(texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    """Return the ids of each text with its special tokens; what is beyond `MAX_TOKENS` is cut, the last one kept."""
    rows = [read.ids for read in tokenizer.encode_batch(list(texts))]
    return [row if len(row) <= MAX_TOKENS else [*row[: MAX_TOKENS - 1], row[-1]] for row in rows]


def embed(encoder: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return unit vectors float32 (rows, dimension): the mean over the tokens of each row (Reimers and Gurevych 2019)."""
    import torch
    from torch.nn import functional

    device = encoder.device
    # A few widths, so that a GPU's kernels are chosen but a few times.
    width = -(-max(map(len, rows)) // 16) * 16
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    mask = torch.arange(width, device=device) < lengths[:, None]
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=ids.is_cuda and encoder.training):
        states = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    return functional.normalize((states.float() * mask[..., None]).sum(1) / lengths[:, None], dim=1)


def encode_rows(encoder: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the unit vectors of rows of ids, float32 (rows, dimension), on the encoder's device, without gradients."""
    import torch

    vectors = torch.empty(len(rows), encoder.config.hidden_size, device=encoder.device)
    budget = _GPU_TOKENS if encoder.device.type == "cuda" else _CPU_TOKENS
    batch: list[int] = []
    with torch.no_grad():
        # The shortest first, so that neighbours are of like length.
        for number in sorted(range(len(rows)), key=lambda index: len(rows[index])):
            if batch and (len(batch) + 1) * (len(rows[number]) + 15) > budget:
                vectors[batch] = embed(encoder, [rows[index] for index in batch])
                batch = []
            batch.append(number)
        if batch:
            vectors[batch] = embed(encoder, [rows[index] for index in batch])
    return vectors


def contrastive_loss(
    queries: torch.Tensor, passages: torch.Tensor, own: torch.Tensor, alike: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return the mean negative log likelihood, in nats, of each query's own passage among all passages.

    Multiple negatives ranking (Henderson et al. 2017, arXiv:1705.00652), `scale` one over the temperature. `queries`
    (rows, dimension) and `passages` (passages, dimension) are unit vectors, `own` the number of each query's passage, and
    `alike` (rows, passages) says which passages are of the query's group: those count neither as right nor as wrong.
    """
    import torch
    from torch.nn import functional

    others = alike & (torch.arange(len(passages), device=own.device) != own[:, None])
    return functional.cross_entropy((scale * queries @ passages.T).masked_fill(others, -1e4), own)
