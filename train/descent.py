"""Steps of AdamW whose rate rises and falls, with a running average of the weights (Polyak, Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Descent"]

_DECAY, _MOST_NORM = 0.01, 1.0
# Share of the rate that is left at the end.
_LAST = 0.02


class Descent:
    """What teaches the parameters of `network` that are to learn.

    `rate` is the peak, reached after the share `warmup` of all steps; `average` is how much of the average a step keeps.
    """

    def __init__(self, network: Any, *, rate: float, warmup: float, average: float) -> None:
        import torch

        self._learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._learning, lr=rate, weight_decay=_DECAY)
        self._averages = [parameter.detach().clone() for parameter in self._learning]
        self._rate, self._warmup, self._average = rate, warmup, average
        self.steps = 0

    def step(self, loss: torch.Tensor, total: int) -> None:
        """Take one of `total` steps against the slope of `loss`."""
        import torch

        rise, fall = (self.steps + 1) / max(1.0, self._warmup * total), 1 - self.steps / total
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, rise) * max(_LAST, fall)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learning, _MOST_NORM)
        self._optimizer.step()
        # The first averages would be of weights that know nothing yet.
        share = 1 - min(self._average, self.steps / (self.steps + 10))
        torch._foreach_lerp_(self._averages, [parameter.detach() for parameter in self._learning], share)
        self.steps += 1

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network its averaged weights, and afterwards its own again."""
        import torch

        own = [parameter.detach().clone() for parameter in self._learning]
        self.keep_average()
        yield
        with torch.no_grad():
            torch._foreach_copy_(self._learning, own)

    def keep_average(self) -> None:
        """Give the network its averaged weights for good."""
        import torch

        with torch.no_grad():
            torch._foreach_copy_(self._learning, self._averages)
