"""The sentence encoder with a head that scores each token as start and as end of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.reader.packing import read_whole, save_reader

if TYPE_CHECKING:
    import torch

    from train.reader.pairs import Batch

__all__ = ["base_encoder", "build_network", "load_network", "save_network", "span_loss", "span_scores"]


def base_encoder() -> Path:
    """Return the folder of the embedded sentence encoder. Raises ModelError."""
    from rag_core.config import EmbeddingConfig
    from rag_core.models import fetch, resolve_embedder

    return fetch(resolve_embedder(EmbeddingConfig()))


def build_network(folder: Path, device: torch.device) -> Any:
    """Return encoder and head as one module, in float32; the embeddings stand still."""
    import torch
    from transformers import AutoModel

    encoder: Any = AutoModel.from_pretrained(str(folder), dtype=torch.float32, add_pooling_layer=False)
    encoder.embeddings.requires_grad_(False)
    head = torch.nn.Linear(encoder.config.hidden_size, 2)
    torch.nn.init.normal_(head.weight, std=0.02)
    torch.nn.init.zeros_(head.bias)
    return torch.nn.ModuleDict({"encoder": encoder, "head": head}).to(device)


def load_network(network: Any, folder: Path, path: Path) -> None:
    """Add what `save_network` wrote in `path` to the encoder in `folder`. Raises CheckpointError or BaseModelError."""
    import torch

    from rag_core.encoder.changes import stored_digest

    changes = read_whole(path, stored_digest(folder))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            change = changes.get(name.removeprefix("encoder."))
            if change is not None:
                parameter.copy_(change) if name.startswith("head.") else parameter.add_(change.to(parameter.device))


def save_network(network: Any, folder: Path, path: Path) -> None:
    """Write what changed against the encoder in `folder` and the head."""
    from safetensors.torch import load_file

    base = {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    trained = {
        name.removeprefix("encoder.") if not name.startswith("head.") else name: tensor.cpu()
        for name, tensor in network.state_dict().items()
    }
    kept = {name: tensor for name, tensor in trained.items() if name.startswith("head.") or name in base}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_reader(kept, base, path)


def span_scores(network: Any, batch: Batch) -> torch.Tensor:
    """Return scores float32 (rows, tokens, 2); only the passage's tokens and the first one, no answer, can be chosen."""
    import torch

    with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16, enabled=batch.ids.is_cuda):
        states = network["encoder"](
            input_ids=batch.ids, token_type_ids=batch.segments, attention_mask=batch.mask
        ).last_hidden_state
    scores: torch.Tensor = network["head"](states.float())
    allowed = batch.segments.bool()
    allowed[:, 0] = True
    return scores.masked_fill(~allowed[..., None], -1e4)


def span_loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean negative log likelihood of the answers in nats, summed over the places where one stands."""
    import torch

    likely = scores.log_softmax(dim=1)
    starts, ends = likely[..., 0].gather(1, batch.starts), likely[..., 1].gather(1, batch.ends)
    return -torch.logsumexp(starts + ends + batch.places, dim=1).mean()
