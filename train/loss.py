"""Cross entropy over the answer tokens without ever holding all logits.

For 16,384 tokens and 32,000 words the logits and their gradient would take 4 GB in float32. Here each chunk's logits are
made, turned into the loss and its gradients, and dropped, in the forward pass: the way of the fused linear cross entropy
of Liger Kernel (Hsu et al. 2024, arXiv:2410.10989). The head's gradient is summed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["answer_loss"]


def answer_loss(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> tuple[Tensor, Tensor]:
    """Return the summed loss (a scalar, float32, in nats) and how many answer tokens are the most likely ones.

    `hidden` (tokens, hidden) are the states that predict, `weight` (vocabulary, hidden) is the head, `labels` (tokens,)
    the ids to predict. The product is computed in the type of `hidden`; `weight` may be float32.
    """
    if not torch.is_grad_enabled() or not (hidden.requires_grad or weight.requires_grad):
        return _evaluate(hidden, weight, labels, chunk_tokens)
    return _ChunkedLoss.apply(hidden, weight, labels, chunk_tokens)  # type: ignore[no-untyped-call, no-any-return]


def _evaluate(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> tuple[Tensor, Tensor]:
    total = torch.zeros((), device=hidden.device)
    correct = torch.zeros((), dtype=torch.long, device=hidden.device)
    used = weight.to(hidden.dtype)
    for start in range(0, len(labels), chunk_tokens):
        states, wanted = hidden[start : start + chunk_tokens], labels[start : start + chunk_tokens]
        logits = (states @ used.t()).float()
        total += F.cross_entropy(logits, wanted, reduction="sum")
        correct += (logits.argmax(-1) == wanted).sum()
    return total, correct


class _ChunkedLoss(torch.autograd.Function):
    """The loss with its gradients computed on the way forward; backward only scales them."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> tuple[Tensor, Tensor]:
        used = weight.to(hidden.dtype)
        total = torch.zeros((), device=hidden.device)
        correct = torch.zeros((), dtype=torch.long, device=hidden.device)
        hidden_grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        weight_grad = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(labels), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            states, wanted = hidden[part], labels[part]
            logits = (states @ used.t()).float()
            peak = logits.max(-1, keepdim=True)
            correct += (peak.indices[:, 0] == wanted).sum()
            log_norm = torch.logsumexp(logits, -1, keepdim=True)
            total += (log_norm[:, 0] - logits.gather(1, wanted[:, None])[:, 0]).sum()
            # The gradient of the loss by its logits: the probabilities, less one at the wanted id.
            errors = logits.sub_(log_norm).exp_()
            errors.scatter_add_(1, wanted[:, None], torch.full_like(log_norm, -1.0))
            errors = errors.to(hidden.dtype)
            if hidden_grad is not None:
                torch.mm(errors, used, out=hidden_grad[part])
            if weight_grad is not None:
                _add_product(weight_grad, errors.t(), states)
        ctx.hidden_grad, ctx.weight_grad = hidden_grad, weight_grad
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        scale = grads[0]
        hidden_grad, weight_grad = ctx.hidden_grad, ctx.weight_grad
        ctx.hidden_grad = ctx.weight_grad = None
        return (
            None if hidden_grad is None else hidden_grad.mul_(scale.to(hidden_grad.dtype)),
            None if weight_grad is None else weight_grad.mul_(scale),
            None,
            None,
        )


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to `total`, the product in float32 wherever the device can return one."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    elif left.is_cuda:
        total.add_(torch.mm(left, right, out_dtype=total.dtype))
    else:
        total.add_((left @ right).to(total.dtype))
