"""The pipeline as a LangChain Runnable, so that it composes with chains that people already have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag_core.records import TextEvent

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from rag_core.pipeline import RagPipeline

__all__ = ["pipeline_runnable"]


def pipeline_runnable(pipeline: RagPipeline) -> Runnable[str, str]:
    """Return a Runnable of question to answer text: `.invoke`, `.stream` (pieces of text), `.batch`.

    One generator answers one question at a time, so a batch runs in order.
    """
    from langchain_core.runnables import RunnableGenerator

    def answer(questions: Iterator[str]) -> Iterator[str]:
        question = "".join(questions)
        for event in pipeline.stream(question):
            if isinstance(event, TextEvent) and event.text:
                yield event.text

    return RunnableGenerator(answer, name="RagOptimize").with_config(max_concurrency=1)
