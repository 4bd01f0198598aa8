"""The gate before anything is pushed: is the merged model the trained one?

The merged folder, loaded strictly into a plain model, must predict held-out text as the base with adapter and head does.
Only one model is in memory at a time; of the first, its log-probabilities stay. `train.rounding` proves the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.base import explained, load_base
from train.checkpoint import Checkpoint
from train.devices import release
from train.encoding import Example
from train.errors import DataError, EquivalenceError
from train.heads import head_of
from train.modelling import load_trained
from train.upcasting import compute_in_float32

if TYPE_CHECKING:
    import torch

__all__ = [
    "Figures",
    "Limits",
    "Reference",
    "chosen_examples",
    "compare",
    "drift",
    "load_strictly",
    "reference",
]

# A bfloat16 keeps 8 bits, so a rounded weight is off by up to 2^-9 of itself, at random, and logits by hundredths. On
# SmolLM2-135M, where every weight is rounded, that is a mean KL of 0.00014 (largest 0.0015). A fine-tune moves the base
# by 0.05 and more; a lost head or a wrong scale is a good part of that.
MEAN_KL = 0.005
MAX_KL = 0.25
TOP1_AGREEMENT = 0.99
LOSS_DIFFERENCE = 0.01
# Nats by which the reference prefers its first choice to its second: closer ones may change places by rounding alone.
# In bfloat16 logits between 16 and 32 stand 0.125 apart.
DECIDED_MARGIN = 0.25
# Logits compared at once.
_CHUNK = 256


@dataclass(frozen=True)
class Limits:
    """What the gate lets pass. KL and loss in nats a token; `top1` is a share in [0, 1] of the decided tokens."""

    mean_kl: float = MEAN_KL
    max_kl: float = MAX_KL
    top1: float = TOP1_AGREEMENT
    loss: float = LOSS_DIFFERENCE


@dataclass(frozen=True)
class Figures:
    """How far a model's predictions are from the reference's, over `positions` tokens, `answer_tokens` of them answers.

    KL is KL(reference || model) in nats; losses are the mean cross entropy of the answer tokens in nats. `top1` is the
    share of tokens with the same first choice, `decided_top1` that of the `decided` tokens: those at which the
    reference's first choice leads by DECIDED_MARGIN (1 where there are none).
    """

    positions: int
    answer_tokens: int
    mean_kl: float
    max_kl: float
    top1: float
    decided: int
    decided_top1: float
    reference_loss: float
    loss: float

    @property
    def loss_difference(self) -> float:
        """How much worse (above 0) or better the model predicts the answers."""
        return self.loss - self.reference_loss

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Figures:
        """Return the figures that `dataclasses.asdict` made plain."""
        return cls(**content)

    def line(self) -> str:
        """Return the figures as one line for a person."""
        return (
            f"mean KL {self.mean_kl:.3g}, largest {self.max_kl:.3g}, top-1 {self.top1:.4f} "
            f"({self.decided_top1:.4f} where decided), loss {self.loss:.4f} ({self.loss_difference:+.4f})"
        )

    def loss_chance(self, limits: Limits) -> float:
        """Return three standard deviations of the loss difference over so few answer tokens, at the mean KL allowed.

        Near equality the variance of a token's log-ratio is twice its KL.
        """
        return 3 * math.sqrt(2 * limits.mean_kl / max(1, self.answer_tokens))

    def require(self, limits: Limits) -> None:
        """Raise EquivalenceError, naming the first figure over its limit."""
        for name, value, limit in (
            ("mean KL", self.mean_kl, limits.mean_kl),
            ("largest KL", self.max_kl, limits.max_kl),
            ("loss difference", abs(self.loss_difference), limits.loss + self.loss_chance(limits)),
            ("top-1 disagreement", 1 - self.decided_top1, 1 - limits.top1),
        ):
            # Written so that NaN fails too.
            if not value <= limit:
                raise EquivalenceError(
                    f"The merged model does not predict as the trained one does: {name} {value:.4g} over {limit:.4g}"
                )


@dataclass(frozen=True)
class Reference:
    """Log-probabilities of a model on examples: per example (tokens, vocabulary), float32, on the CPU."""

    examples: tuple[Example, ...]
    log_probabilities: list[torch.Tensor]


def chosen_examples(examples: Iterable[Example], positions: int) -> tuple[Example, ...]:
    """Return the first examples with an answer that hold about `positions` tokens together. Raises DataError."""
    chosen: list[Example] = []
    tokens = 0
    for example in examples:
        if tokens >= positions:
            break
        if 0 < example.answer_start < len(example):
            chosen.append(example)
            tokens += len(example)
    if not chosen:
        raise DataError("No held-out row holds an answer within data.max_tokens; name other rows with --text")
    return tuple(chosen)


def reference(
    base: Path, checkpoint: Checkpoint, examples: tuple[Example, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Reference, Figures]:
    """Return the trained model's predictions, and how far the base alone is from them: what training did.

    The model is base + adapter + head, unmerged. Raises BaseModelError, CheckpointError, DeviceError.
    """
    model = load_base(base, dtype, device)
    base_head = head_of(model).weight.detach().to("cpu", copy=True) if checkpoint.has_head else None
    model = load_trained(model, checkpoint.folder)
    compute_in_float32(model)
    with explained(base.name):
        found = Reference(examples, list(_scored(model, examples, device)))
        if base_head is not None:
            head_of(model).weight.data.copy_(base_head)
        with model.disable_adapter():
            moved = _figures(found, _scored(model, examples, device))
    del model, base_head
    release(device)
    return found, moved


def compare(
    model: Any, found: Reference, device: torch.device, *, name: str = "The merged model", replace: bool = False
) -> Figures:
    """Return how far `model` is from the reference; with `replace` its predictions become the reference.

    Raises DeviceError where the device runs out of memory.
    """
    with explained(name):
        return _figures(found, _scored(model, found.examples, device), replace=replace)


def drift(base: Path, checkpoint: Checkpoint, merged: Reference, device: torch.device) -> Figures:
    """Return how far the 4-bit model that was trained is from the merged one: reported, and no gate.

    Raises DeviceError where the device cannot run NF4.
    """
    import torch

    from train.base import training_dtype

    dtype = training_dtype(checkpoint.settings.base, device)
    model = load_base(base, dtype, device, quantization="nf4")
    model = load_trained(model, checkpoint.folder)
    try:
        return compare(model, merged, device, name=f"{base.name} in 4 bits")
    finally:
        del model
        release(torch.device(device))


def load_strictly(folder: Path, dtype: torch.dtype, device: torch.device, *, untied: bool) -> Any:
    """Return the merged model as anyone would load it. Raises EquivalenceError where a weight is missing or left over.

    `untied` requires that the head has a weight of its own.
    """
    from transformers import AutoModelForCausalLM

    with explained(folder.name):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, attn_implementation="sdpa", trust_remote_code=False, output_loading_info=True
        )
    model, outcome = loaded
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if outcome.get(kind):
            example = sorted(map(str, outcome[kind]))[0]
            raise EquivalenceError(f"{folder} does not load strictly: {kind.replace('_', ' ')}: {example}")
    shared = head_of(model).weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    # Some loaders go by the config alone, whatever the files hold.
    if untied in (shared, bool(model.config.tie_word_embeddings)):
        raise EquivalenceError(
            f"{folder}: the head {'is tied to the embeddings again' if untied else 'has come loose from the embeddings'}"
            "; tie_word_embeddings in its config is wrong"
        )
    compute_in_float32(model)
    with explained(folder.name):
        return model.eval().to(device)


def _scored(model: Any, examples: Sequence[Example], device: torch.device) -> Iterator[torch.Tensor]:
    """Yield per example the log-probabilities (tokens, vocabulary) of all but its last token, float32, on the CPU."""
    import torch

    with torch.inference_mode():
        for example in examples:
            ids = torch.tensor([example.ids[:-1]], device=device)
            logits = model(input_ids=ids, use_cache=False).logits[0]
            yield torch.log_softmax(logits.float(), -1).cpu()


def _figures(found: Reference, scored: Iterator[torch.Tensor], *, replace: bool = False) -> Figures:
    import torch

    divergences, agreements, leads, losses, other_losses = [], [], [], [], []
    for number, other in enumerate(scored):
        example, wanted = found.examples[number], found.log_probabilities[number]
        for start in range(0, len(wanted), _CHUNK):
            ours, theirs = wanted[start : start + _CHUNK], other[start : start + _CHUNK]
            divergences.append((ours.exp() * (ours - theirs)).sum(-1))
            first = ours.topk(2, -1)
            leads.append(first.values[:, 0] - first.values[:, 1])
            agreements.append(first.indices[:, 0] == theirs.argmax(-1))
        answer = torch.tensor(example.ids[example.answer_start :])[:, None]
        losses.append(-wanted[example.answer_start - 1 :].gather(1, answer)[:, 0])
        other_losses.append(-other[example.answer_start - 1 :].gather(1, answer)[:, 0])
        if replace:
            found.log_probabilities[number] = other
    divergence, loss, agreement = torch.cat(divergences), torch.cat(losses), torch.cat(agreements)
    decided = agreement[torch.cat(leads) >= DECIDED_MARGIN]
    return Figures(
        len(divergence),
        len(loss),
        float(divergence.double().mean()),
        float(divergence.max()),
        float(agreement.double().mean()),
        len(decided),
        float(decided.double().mean()) if len(decided) else 1.0,
        float(loss.double().mean()),
        float(torch.cat(other_losses).double().mean()),
    )
