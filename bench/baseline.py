"""The plain recipe that people use now, to measure against: default parts, put together in the usual way.

512-character chunks, HuggingFaceEmbeddings with MiniLM, Chroma with k=4, RetrievalQA "stuff" over a transformers
pipeline with the same SmolLM2 in float32, read from its GGUF file at each start as such programs do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rag_core.config import RagConfig
from rag_core.models import resolve_embedder, resolve_generator

__all__ = ["PlainRecipe", "pdf_text"]

CHUNK_CHARACTERS = 512
TOP_K = 4


def pdf_text(path: Path) -> list[str]:
    """Return the text of each page, as LangChain's PDF loaders give it."""
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument(str(path))
    pages = []
    for page in document:
        textpage = page.get_textpage()
        pages.append(textpage.get_text_range())
        textpage.close()
        page.close()
    document.close()
    return pages


class PlainRecipe:
    """Chunks, vectors, store and chain with every setting at its usual value."""

    def __init__(self, config: RagConfig | None = None) -> None:
        self._config = config or RagConfig()
        self._embeddings: Any = None
        self._store: Any = None
        self._model: Any = None
        self._tokenizer: Any = None

    def load_embedder(self) -> None:
        """Load MiniLM through sentence-transformers."""
        from langchain_huggingface import HuggingFaceEmbeddings

        source = resolve_embedder(self._config.embedding)
        self._embeddings = HuggingFaceEmbeddings(model_name=str(source.path or source.name))

    def index(self, texts: Sequence[str], metadatas: Sequence[dict[str, Any]] | None = None) -> int:
        """Split and store texts; return the number of chunks."""
        from langchain_chroma import Chroma
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        if self._embeddings is None:
            self.load_embedder()
        splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=0)
        documents = splitter.create_documents(list(texts), metadatas=list(metadatas) if metadatas else None)
        self._store = Chroma.from_documents(documents, self._embeddings)
        return len(documents)

    def search(self, question: str, k: int = TOP_K) -> list[Any]:
        """Return the `k` nearest chunks as LangChain documents."""
        found: list[Any] = self._store.similarity_search(question, k=k)
        return found

    def forget(self) -> None:
        """Drop what is stored."""
        if self._store is not None:
            self._store.delete_collection()
            self._store = None

    def load_model(self) -> None:
        """Load SmolLM2 from the GGUF file in float32 (or from the Hub where the package is absent)."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        source = resolve_generator(self._config.generation)
        if source.path is not None and source.path.is_file():
            place, extra = str(source.path.parent), {"gguf_file": source.path.name}
        else:
            place, extra = str(source.path or source.name), {}
        self._tokenizer = AutoTokenizer.from_pretrained(place, **extra)
        self._model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **extra)

    def stream(self, question: str, max_new_tokens: int = 128) -> Iterator[str]:
        """Answer through RetrievalQA and yield the text as the pipeline's streamer gives it."""
        from langchain_classic.chains import RetrievalQA
        from langchain_huggingface import HuggingFacePipeline
        from transformers import TextIteratorStreamer, pipeline

        streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        generator = pipeline(
            "text-generation",
            model=self._model,
            tokenizer=self._tokenizer,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            streamer=streamer,
        )
        chain = RetrievalQA.from_chain_type(
            HuggingFacePipeline(pipeline=generator),
            chain_type="stuff",
            retriever=self._store.as_retriever(search_kwargs={"k": TOP_K}),
        )
        thread = threading.Thread(target=chain.invoke, args=({"query": question},), daemon=True)
        thread.start()
        yield from streamer
        thread.join()

    @property
    def model(self) -> tuple[Any, Any]:
        """The model and its tokenizer."""
        return self._model, self._tokenizer
