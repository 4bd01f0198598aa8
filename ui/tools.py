"""The two tools that the server offers over the Model Context Protocol: ask and search.

A tool call has no session, so it works on what comes with it: the text of one document given as an argument, or, with
none given, the sample documents. Nothing of a call is kept. Annotations are evaluated here: Gradio reads the tools'
schema from them.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import api

from rag_core import QuestionError
from rag_core.serialising import answer_dict, hit_dict
from ui.desk import Desk
from ui.endpoints import ChatUpdate, HitJson, checked_count, told
from ui.markup import plain_name, without_halves

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

__all__ = ["TOOLS", "Tools", "offer_only"]

# Endpoint of each tool; every other endpoint stays out of the protocol.
TOOLS = {"ask": "/mcp_ask", "search": "/mcp_search"}
_MOST_CHARACTERS = 1_000_000


class Tools:
    """The tools' functions. `register` must be called inside a gr.Blocks context."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._library: RagPipeline | None = None
        self._lock = threading.Lock()

    def register(self) -> None:
        """Set up the endpoints behind the tools; a tool is named by its function."""
        api(told(self.ask), api_name="mcp_ask", concurrency_limit=self.desk.settings.answers_at_once)
        api(told(self.search), api_name="mcp_search", concurrency_id="uploads")

    def ask(self, question: str, document_text: str = "", document_name: str = "document.txt") -> ChatUpdate:
        """Answer a question from a document, with verbatim citations; says so where the document holds no answer.

        Args:
            question: The question, in one or two sentences.
            document_text: The full text of the document to ask; empty: the bundled sample finance documents.
            document_name: What to call that document in the citations.
        """
        with self._source(document_text, document_name) as rag:
            return {"done": True, **answer_dict(rag.ask(question))}  # type: ignore[typeddict-item]

    def search(
        self, question: str, k: int = 5, document_text: str = "", document_name: str = "document.txt"
    ) -> list[HitJson]:
        """Find the passages of a document that fit a question best, best first, with page and character span.

        Args:
            question: What to look for.
            k: How many passages, 1 to 50.
            document_text: The full text of the document to search; empty: the bundled sample finance documents.
            document_name: What to call that document in the results.
        """
        count = checked_count(k, "k")
        with self._source(document_text, document_name) as rag:
            return [hit_dict(hit) for hit in rag.search(question, count)]  # type: ignore[misc]

    def close(self) -> None:
        """Delete the index of the samples."""
        with self._lock:
            library, self._library = self._library, None
        if library is not None:
            library.close()

    @contextmanager
    def _source(self, text: Any, name: Any) -> Iterator["RagPipeline"]:
        """Yield a pipeline over `text`, gone afterwards, or over the samples where there is none."""
        if not isinstance(text, str) or not isinstance(name, str):
            raise QuestionError("document_text and document_name must be texts")
        if not text.strip():
            yield self._samples()
            return
        if len(text) > _MOST_CHARACTERS:
            raise QuestionError(f"document_text has {len(text):,} characters; send at most {_MOST_CHARACTERS:,}")
        with tempfile.TemporaryDirectory(prefix="ragoptimize-tool-") as folder, self.desk.pipeline.session() as rag:
            path = Path(folder) / "document.txt"
            path.write_text(without_halves(text), encoding="utf-8")
            rag.add_document(path, name=plain_name(name, 120))
            yield rag

    def _samples(self) -> "RagPipeline":
        """Return the pipeline over all samples, indexed at the first call that needs it."""
        with self._lock:
            if self._library is None:
                if not self.desk.samples.files:
                    raise QuestionError("This server has no sample documents; send document_text")
                library = self.desk.pipeline.session()
                for sample in self.desk.samples.files:
                    library.add_document(sample.path)
                self._library = library
            return self._library


def offer_only(demo: gr.Blocks) -> None:
    """Take every endpoint but those of TOOLS out of the running MCP server: out of its list and out of reach."""
    server = demo.mcp_server_obj
    if server is not None:
        server.tool_to_endpoint = {f"{server.tool_prefix}{tool}": endpoint for tool, endpoint in TOOLS.items()}
