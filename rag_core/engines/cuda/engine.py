"""The engine for NVIDIA cards: many chats at once over one Llama-type model, in a thread of its own.

The thread stays while the engine does: CUDA's libraries keep plans and handles by thread, and a new one waits for them.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from rag_core.engines.cuda.model import Operations, SlotModel, slot_bytes
from rag_core.engines.cuda.passes import Passes
from rag_core.engines.cuda.plain import PlainOps
from rag_core.engines.cuda.requests import Request
from rag_core.engines.cuda.schedule import Scheduler
from rag_core.engines.cuda.weights import read_weights
from rag_core.engines.llama import LlamaSettings
from rag_core.engines.memory import free_gpu_bytes, translated, weight_counts
from rag_core.engines.steps import Step
from rag_core.errors import ModelError, OutOfMemoryError, RagError

__all__ = ["CudaEngine", "fits"]

# Beside weights and chats: activations of a long prompt, recordings, four-bit weights made whole, CUDA's own.
_RESERVE_BYTES = 3 << 29
_LEAST_TOKENS = 1_024
log = logging.getLogger(__name__)


class CudaEngine:
    """A Llama or Mistral model on one card. Up to `at_once` calls of `generate` run together, from any threads."""

    def __init__(
        self,
        folder: Path,
        settings: LlamaSettings,
        stop_ids: frozenset[int],
        *,
        length: int,
        device: str = "cuda",
        dtype: torch.dtype = torch.bfloat16,
        four_bit: bool = False,
        prompt_lookup: bool = True,
        most_chats: int = 64,
        prepare: bool = True,
    ) -> None:
        """Load the weights; take memory for chats of `length` tokens, `most_chats` or as many as fit.

        `prepare`: record the usual passes in the background. Raises ModelLoadError or OutOfMemoryError.
        """
        place = torch.device(device)
        self._dtype, self._four_bit = dtype, four_bit
        self._stream: Any = torch.cuda.Stream(place) if place.type == "cuda" else None  # type: ignore[no-untyped-call]
        with translated(folder.name), torch.inference_mode(), ThreadPoolExecutor(1) as beside:
            # Compiling waits for a processor and reading for the disk.
            compiled = beside.submit(_operations, settings, length, place, dtype, four_bit)
            weights = read_weights(folder, settings, place, dtype, four_bit=four_bit)
            slots, self.longest = _room(settings, length, dtype, place, most_chats)
            operations = compiled.result()
            model = SlotModel(weights, settings, operations, slots=slots, length=self.longest)
            self._passes = Passes(model, record=place.type == "cuda")
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            with self._context():
                # Whatever does not run here must be told now, while there is another engine to fall back on.
                self._passes.try_out()
        # Rows of one pass must not change each other's numbers, or else a draft changes what is said.
        lookup = prompt_lookup and (operations.steady_rows > 1 or dtype == torch.float32)
        self._scheduler = Scheduler(self._passes, stop_ids, lookup=lookup)
        self._lock = threading.Lock()
        self._woken, self._rests = threading.Event(), threading.Event()
        self._rests.set()
        self._chores = self._passes.kinds() if prepare and operations.steady_rows > 1 else []
        work = threading.Thread(target=_serve, args=(weakref.ref(self), self._woken), name="cuda-engine", daemon=True)
        # Woken once more when the engine is gone, the thread ends.
        weakref.finalize(self, self._woken.set)
        work.start()
        if self._chores:
            self._wake()

    @property
    def at_once(self) -> int:
        """How many chats are served together; more wait in line."""
        return self._passes.model.slots

    @property
    def description(self) -> str:
        """Where and in what precision it computes."""
        precision = "4 bits" if self._four_bit else str(self._dtype).removeprefix("torch.")
        where = "GPU" if self._passes.model.device.type == "cuda" else "CPU"
        return f"{where}, {precision}, {self.at_once} chats at once"

    def generate(self, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
        """Continue `prompt` greedily; closing the iterator frees its place before the next token."""
        if len(prompt) + max_new_tokens > self.longest + 1:
            raise OutOfMemoryError(
                f"Prompt and answer take {len(prompt) + max_new_tokens} tokens and the GPU has room for {self.longest}; "
                "take fewer passages, or set RAG_CONTEXT_TOKENS to less"
            )
        words = self._passes.model.settings.vocabulary
        if any(not 0 <= token < words for token in prompt):
            # On the device an index out of range would end every chat.
            raise ModelError(f"The prompt holds a token that the model's {words} do not have; check RAG_TOKENIZER")
        request = Request(tuple(prompt), max_new_tokens)
        self._scheduler.submit(request)
        self._wake()
        try:
            while True:
                step = request.steps.get()
                if isinstance(step, RagError):
                    raise step
                yield step
                if step.finish:
                    return
        finally:
            request.cancelled = True

    def prepared(self, timeout_seconds: float | None = None) -> bool:
        """Wait until all that was asked for is done and the usual passes are recorded; return whether they are."""
        self._rests.wait(timeout_seconds)
        return not self._chores

    # The thread ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._lock:
            self._rests.clear()
            self._woken.set()

    def _context(self) -> AbstractContextManager[Any]:
        """Make the engine's stream the current one: recording needs one that is not the default."""
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()

    def _work(self) -> None:
        """Work until there is nothing left to do."""
        try:
            with torch.inference_mode(), self._context():
                while self._turn():
                    pass
        except BaseException as error:  # Nobody may wait for work that has ended.
            log.error("The engine broke", exc_info=error)
            self._scheduler.fail(ModelError(f"The engine broke ({type(error).__name__}: {error}); restart the app"))
            self._rests.set()

    def _turn(self) -> bool:
        """Return whether to go on."""
        if self._scheduler.turn():
            return True
        if not self._scheduler.idle():
            return True
        if self._chores:
            self._chore()
            return True
        with self._lock:
            # Whoever submits after this look wakes the thread again.
            if not self._scheduler.idle():
                return True
            self._rests.set()
            return False

    def _chore(self) -> None:
        kind, rows, reach = self._chores.pop(0)
        try:
            self._passes.prepare(kind, rows, reach)
        except Exception as error:  # It will be recorded when it is needed, or not at all.
            log.warning("A pass could not be prepared: %s", error)
            self._chores.clear()
            self._passes.relieve()


def _serve(engine: weakref.ref[CudaEngine], woken: threading.Event) -> None:
    """Do an engine's work whenever it wakes the thread, until there is no engine."""
    while True:
        woken.wait()
        woken.clear()
        made = engine()
        if made is None:
            return
        made._work()
        del made


def fits(folder: Path, settings: LlamaSettings, length: int, dtype: torch.dtype, device: str = "cuda") -> bool:
    """Return whether the whole weights and one chat of `length` tokens fit into the free memory of the card."""
    weights = dtype.itemsize * sum(weight_counts(folder).values())
    return weights + slot_bytes(settings, length, dtype) + _RESERVE_BYTES <= free_gpu_bytes(device)


@torch.inference_mode()
def _operations(
    settings: LlamaSettings, length: int, device: torch.device, dtype: torch.dtype, four_bit: bool
) -> Operations:
    """Return the kernels where this card and this shape can have them, plain torch elsewhere."""
    head = settings.head_size
    if device.type == "cuda" and dtype != torch.float32 and head & (head - 1) == 0 and 16 <= head <= 256:
        try:
            if torch.cuda.get_device_capability(device) >= (8, 0):
                from rag_core.engines.cuda.fused import FusedOps

                operations = FusedOps(settings, length, device, dtype)
                operations.try_out(four_bit)
                return operations
            log.warning("The kernels need a card of compute capability 8.0 or more; answers come slower without them")
        except Exception as error:  # No Triton, no compiler for its launchers, or a card that it does not know.
            log.warning("The kernels do not run here, so answers come slower: %s", error)
    return PlainOps(settings, length, device, dtype)


def _room(settings: LlamaSettings, length: int, dtype: torch.dtype, device: torch.device, most: int) -> tuple[int, int]:
    """Return how many chats fit, and of how many tokens: shorter ones where not even one fits at full length."""
    if device.type != "cuda":
        return most, length
    free = free_gpu_bytes(str(device)) - _RESERVE_BYTES
    while True:
        slots = min(most, free // slot_bytes(settings, length, dtype))
        if slots >= 1:
            return int(slots), length
        if length <= _LEAST_TOKENS:
            raise OutOfMemoryError(
                "The weights fill the memory of the GPU; set RAG_LOAD_IN_4BIT=true, or RAG_MODEL to a smaller model"
            )
        length = max(_LEAST_TOKENS, length // 2)
