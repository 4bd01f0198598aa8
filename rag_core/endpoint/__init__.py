"""Generation by a server: any that speaks OpenAI's chat completions (vLLM, TGI, SGLang, llama.cpp, Ollama)."""

from __future__ import annotations

from rag_core.endpoint.generator import EndpointGenerator

__all__ = ["EndpointGenerator"]
