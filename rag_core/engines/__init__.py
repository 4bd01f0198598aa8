"""Generation: the factory, and behind it a server, or one engine for any model and one that is quick on a CPU."""

from __future__ import annotations

from rag_core.config import RagConfig
from rag_core.generation import TextGenerator

__all__ = ["create_generator"]


def create_generator(config: RagConfig) -> TextGenerator:
    """Return the generator that `config` asks for. Loads nothing. Raises ConfigError."""
    if config.generation.endpoint:
        from rag_core.endpoint import EndpointGenerator

        return EndpointGenerator(config)
    from rag_core.engines.local import LocalGenerator

    return LocalGenerator(config)
