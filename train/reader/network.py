"""The sentence encoder with a head that scores each token as start and as end of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.reader.packing import read_whole, save_reader

if TYPE_CHECKING:
    import torch

    from train.reader.pairs import Batch

__all__ = ["Scores", "base_encoder", "build_network", "load_network", "reading_loss", "save_network", "scores_of"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores float32: `spans` (rows, tokens, 2), and of a network that plans `shapes` (rows, shapes) and `roles` (rows,
    tokens, 3)."""

    spans: torch.Tensor
    shapes: torch.Tensor | None = None
    roles: torch.Tensor | None = None


def base_encoder() -> Path:
    """Return the folder of the embedded sentence encoder. Raises ModelError."""
    from rag_core.config import EmbeddingConfig
    from rag_core.models import fetch, resolve_embedder

    return fetch(resolve_embedder(EmbeddingConfig()))


def build_network(folder: Path, device: torch.device, outputs: int = 2) -> Any:
    """Return encoder and head, of so many scores a token, as one module, in float32; the embeddings stand still."""
    import torch
    from transformers import AutoModel

    encoder: Any = AutoModel.from_pretrained(str(folder), dtype=torch.float32, add_pooling_layer=False)
    encoder.embeddings.requires_grad_(False)
    head = torch.nn.Linear(encoder.config.hidden_size, outputs)
    torch.nn.init.normal_(head.weight, std=0.02)
    torch.nn.init.zeros_(head.bias)
    return torch.nn.ModuleDict({"encoder": encoder, "head": head}).to(device)


def load_network(network: Any, folder: Path, path: Path) -> None:
    """Add what `save_network` wrote in `path` to the encoder in `folder`; a head of another size stays as it is.

    Raises CheckpointError or BaseModelError.
    """
    import torch

    from rag_core.encoder.changes import stored_digest

    changes = read_whole(path, stored_digest(folder))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            change = changes.get(name.removeprefix("encoder."))
            if change is None:
                continue
            if not name.startswith("head."):
                parameter.add_(change.to(parameter.device))
            elif parameter.shape == change.shape:
                parameter.copy_(change)


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


def scores_of(network: Any, batch: Batch) -> Scores:
    """Return the scores of a batch; only the passage's tokens and the first one, no answer, can be chosen."""
    import torch

    with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16, enabled=batch.ids.is_cuda):
        states = network["encoder"](
            input_ids=batch.ids, token_type_ids=batch.segments, attention_mask=batch.mask
        ).last_hidden_state.float()
    passage = batch.segments.bool()
    allowed = passage.clone()
    allowed[:, 0] = True
    spans = network["head"](states).masked_fill(~allowed[..., None], -1e4)
    if "shapes" not in network:
        return Scores(spans)
    return Scores(
        spans, network["shapes"](states[:, 0]), network["roles"](states).masked_fill(~passage[..., None], -1e4)
    )


def reading_loss(scores: Scores, batch: Batch) -> torch.Tensor:
    """Return the mean negative log likelihood in nats: of the answers, summed over the places where one stands, and, for
    a network that plans, of the formula's shape and of its figures in their roles."""
    import torch

    likely = scores.spans.log_softmax(dim=1)
    starts, ends = likely[..., 0].gather(1, batch.starts), likely[..., 1].gather(1, batch.ends)
    loss: torch.Tensor = -torch.logsumexp(starts + ends + batch.places, dim=1).mean()
    if scores.shapes is None or scores.roles is None:
        return loss
    rows = torch.arange(len(batch.figures), device=batch.figures.device)[:, None]
    figures = scores.roles.log_softmax(dim=1)[rows, batch.figures, batch.roles]
    shapes = torch.nn.functional.cross_entropy(scores.shapes, batch.shapes)
    return loss + shapes - (figures * batch.weights).sum(dim=1).mean()
