"""The sentence encoder with a head that scores how likely a window holds what is asked, and the loss over lists of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from train.ranker.batching import Rows

__all__ = ["distilling_loss", "listwise_loss", "scores_of"]

# Rows that are read at once: sorted by length, so that the short ones are padded little.
_TOGETHER = 256
# Nats to either side beyond which a score is as good as certain, and how much its distance counts beside the order's.
_MOST, _DISTANCE = 10.0, 0.1


def scores_of(network: Any, rows: Rows) -> torch.Tensor:
    """Return the score of each row in nats, float32 (rows): 0 and less means that nothing answers as likely as not."""
    import torch

    order = rows.mask.sum(1).argsort()
    found = torch.empty(len(order), device=order.device)
    parts = []
    for start in range(0, len(order), _TOGETHER):
        part = order[start : start + _TOGETHER]
        width = -(-int(rows.mask[part[-1]].sum()) // 16) * 16
        with torch.autocast(found.device.type, dtype=torch.bfloat16, enabled=found.is_cuda):
            states = network["encoder"](
                input_ids=rows.ids[part, :width],
                token_type_ids=rows.segments[part, :width],
                attention_mask=rows.mask[part, :width],
            ).last_hidden_state[:, 0]
        parts.append(network["head"](states.float())[:, 0])
    return found.index_copy(0, order, torch.cat(parts))


def listwise_loss(scores: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the mean negative log likelihood, in nats, of a right window of each list, or of "none" where none is right.

    `scores` (lists, windows), `right` bool of the same shape. The list's windows and "none", whose score is 0, share the
    probability (Cao et al. 2007, ICML, "Learning to rank: from pairwise approach to listwise approach").
    """
    import torch

    none = torch.zeros(len(scores), 1, device=scores.device)
    everything = torch.cat([none, scores], dim=1).logsumexp(1)
    answered = scores.masked_fill(~right, -1e4).logsumexp(1)
    return (everything - torch.where(right.any(1), answered, none[:, 0])).mean()


def distilling_loss(scores: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Return how far `scores` are from those of a teacher, both (lists, windows) in nats.

    The divergence of what each list's windows and "none" share of the probability (Hinton et al. 2015, arXiv:1503.02531), and a
    little of the distance of the scores themselves: the shares of what is surely wrong tell nothing of its order.
    """
    import torch

    none = torch.zeros(len(scores), 1, device=scores.device)
    shares, aims = (torch.cat([none, each], dim=1).log_softmax(1) for each in (scores, taught))
    divergence = (aims.exp() * (aims - shares)).sum(1).mean()
    near, aim = (each.clamp(-_MOST, _MOST) for each in (scores, taught))
    return divergence + _DISTANCE * torch.nn.functional.smooth_l1_loss(near, aim)
