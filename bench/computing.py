"""How the whole product computes a figure, to stand beside its rules alone (`rag_core.arithmetic.compute`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rag_core import Hit, RagConfig
from rag_core.answers.cascade import CascadeReader
from rag_core.answers.questions import analyse
from rag_core.answers.reader import SpanReader
from rag_core.answers.reading import computed, mark
from rag_core.answers.readingmodels import encoder_model, generator_model
from rag_core.arithmetic import compute
from rag_core.records import Computation

Computing = Callable[[str, Sequence[Hit]], Computation | None]


class ByProduct:
    """What is computed by rules and, where they are not clear, by the plan of a reading model."""

    def __init__(self) -> None:
        """Load nothing yet."""
        cache = RagConfig().cache_directory
        self._reader = CascadeReader(SpanReader(partial(encoder_model, cache)), partial(generator_model, cache))

    def __call__(self, question: str, hits: Sequence[Hit]) -> Computation | None:
        """Return the figure, or None. Raises ModelError."""
        return compute(question, hits) or computed(question, mark(analyse(question), hits, self._reader))
