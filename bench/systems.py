"""The two that are measured against each other, behind one face: documents in, questions asked, `Given` out."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from bench.baseline import PlainRecipe
from bench.sets import ROOT, Source
from rag_core import RagConfig, RagPipeline
from rag_core.answers.citing import cite
from rag_core.evaluation import Given, given_by
from rag_core.records import Document, Hit, Page, Window

__all__ = ["Cache", "Ours", "Plain", "System", "declines"]

# How models without a state of their own for it say that they do not know. LangChain's prompt asks for "I don't know".
_DECLINES = re.compile(
    r"\b(?:(?:do|does|did|can|could|is|are|was|were)(?: not|n['’]t)|unable to|no (?:information|mention|answer)|"
    r"cannot|can['’]t) ?(?:\w+ ){0,3}?(?:know|say|mention|contain|provide|state|specif|determin|find|found|answer|given|"
    r"in the (?:text|context|passage|document)|available)\w*",
    re.IGNORECASE,
)


class System(Protocol):
    """One of the two. `version` tells apart results that are not of the same code and model."""

    name: str
    version: str

    def hold(self, sources: Iterable[Source]) -> None:
        """Index these documents and no others."""

    def ask(self, question: str) -> Given:
        """Answer from the documents held."""


class Ours:
    """RagPipeline, with a private index for each set of documents."""

    name = "ours"

    def __init__(self, config: RagConfig) -> None:
        self._pipeline = RagPipeline(config)
        self._session: RagPipeline | None = None
        self.version = _digest(*_sources(ROOT / "rag_core"), repr(config))

    def hold(self, sources: Iterable[Source]) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._pipeline.session()
        with tempfile.TemporaryDirectory() as folder:
            for number, source in enumerate(sources):
                path = source.path or Path(folder) / f"{number}.txt"
                if source.path is None:
                    path.write_text(source.text, encoding="utf-8")
                # A text is given a name that says nothing: a telling one would help.
                self._session.add_document(path, name=source.path.name if source.path else "document.txt")
        self._pipeline.warm_up()

    def ask(self, question: str) -> Given:
        if self._session is None:
            raise RuntimeError("hold documents first")
        return given_by(self._session.ask(question))

    @property
    def model(self) -> str:
        return self._pipeline.generator.name


class Plain:
    """The plain recipe. Its sources are the chunks that it shows the model; the same judge says what they support."""

    name = "plain"

    def __init__(self, config: RagConfig) -> None:
        self._recipe = PlainRecipe(config)
        self._held: dict[str, Document] = {}
        self._loaded = False
        source, model = ROOT / "bench" / "baseline.py", config.generation
        self.version = _digest(source.read_text(encoding="utf-8"), model.model, model.tokenizer)

    def hold(self, sources: Iterable[Source]) -> None:
        self._recipe.forget()
        kept = list(sources)
        self._held = {source.key: _document(source) for source in kept}
        self._recipe.index([source.text for source in kept], [{"id": source.key} for source in kept])
        if not self._loaded:
            self._recipe.load_model()
            self._loaded = True

    def ask(self, question: str) -> Given:
        started, first, parts = time.perf_counter(), 0.0, []
        for part in self._recipe.stream(question):
            if part and not first:
                first = time.perf_counter() - started
            parts.append(part)
        total, text = time.perf_counter() - started, "".join(parts).strip()
        chunks = self._recipe.search(question)
        _, sentences = cite(text, question, [self._hit(chunk) for chunk in chunks])
        return Given(
            text=text,
            abstained=declines(text),
            quotes=tuple(chunk.page_content for chunk in chunks),
            verbatim=sum(chunk.page_content in self._held[chunk.metadata["id"]].text for chunk in chunks),
            sentences=len(sentences),
            supported=sum(sentence.supported for sentence in sentences),
            first_token_seconds=first or total,
            total_seconds=total,
        )

    def _hit(self, chunk: Any) -> Hit:
        document, text = self._held[chunk.metadata["id"]], chunk.page_content
        start = max(0, document.text.find(text))
        end = min(len(document.text), start + len(text))
        return Hit(document, 1, start, end, document.text[start:end], 1.0, Window(start, end))


class Cache:
    """Results by system, documents and question, appended to a file as they come: a run that was cut off goes on."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._path = path
        self._known: dict[str, Given] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh or not path.is_file():
            return
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):  # the last line was cut off: what comes next stands on its own
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")
        for line in text.split("\n"):
            try:
                row = json.loads(line)
                self._known[row["key"]] = Given.from_dict(row["given"])
            except (ValueError, KeyError, TypeError):
                continue

    def key(self, system: System, sources: Iterable[Source], question: str) -> str:
        """Return the key of one question put to one system over these documents."""
        held = (_digest(source.text, *([source.path.name] if source.path else [])) for source in sources)
        return _digest(system.name, system.version, question, *held)

    def find(self, key: str) -> Given | None:
        return self._known.get(key)

    def keep(self, key: str, given: Given) -> None:
        self._known[key] = given
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "given": given.as_dict()}) + "\n")


def declines(text: str) -> bool:
    """Return whether the first sentence of an answer says that there is none."""
    return bool(_DECLINES.search(re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]))


def _document(source: Source) -> Document:
    size = len(source.text)
    return Document(source.key, source.key, "text/plain", size, source.text, (Page(1, 0, size),))


def _sources(folder: Path) -> list[str]:
    """Return digests of all that an answer depends on; how answers are marked is not among it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.parent.name != "evaluation"]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
