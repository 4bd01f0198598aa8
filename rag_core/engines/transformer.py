"""Any causal language model, on a GPU or a CPU, through `transformers`' own generate."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.engines.memory import free_gpu_bytes, translated, weight_counts
from rag_core.engines.steps import Step
from rag_core.errors import ConfigError, ModelLoadError

if TYPE_CHECKING:
    import torch
    from transformers.generation.streamers import BaseStreamer

__all__ = ["TransformersEngine", "device_dtype"]

# Tokens that one pass of prompt lookup may guess, as in transformers' own documentation.
_LOOKUP_TOKENS = 10
# Beside the weights: keys and values of a full context, activations, and what CUDA keeps for itself.
_GPU_RESERVE_BYTES = 2 << 30


class TransformersEngine:
    """A model that `AutoModelForCausalLM` loads: bfloat16 (or float16, or NF4) on a GPU, float32 on a CPU."""

    at_once = 1

    def __init__(
        self,
        folder: Path,
        stop_ids: frozenset[int],
        *,
        device: str,
        load_in_4bit: bool = False,
        prompt_lookup: bool = True,
        lent_gpu: bool = False,
    ) -> None:
        """Load the weights. `lent_gpu`: the GPU is there only while an answer is generated (ZeroGPU).

        Raises ModelLoadError, OutOfMemoryError or ConfigError.
        """
        import torch

        on_gpu = device.startswith("cuda")
        if load_in_4bit and not on_gpu:
            raise ConfigError("4-bit weights need a CUDA GPU; unset RAG_LOAD_IN_4BIT or set RAG_DEVICE to cuda")
        self._stop_ids = stop_ids
        self._dtype = device_dtype(on_gpu=on_gpu, lent_gpu=lent_gpu)
        self._four_bit = load_in_4bit or (on_gpu and not lent_gpu and _short_of_memory(folder, device))
        self._device = device
        # Checking several guesses in one pass rounds differently from one token at a time. In float32 that is far
        # below the gap between two logits; in 16 bits it now and then changes the token that wins.
        self._lookup = prompt_lookup and self._dtype is torch.float32 and not self._four_bit
        self._model = _load(folder, device, self._dtype, self._four_bit)

    @property
    def description(self) -> str:
        """Where and in what precision it computes."""
        precision = "NF4" if self._four_bit else str(self._dtype).removeprefix("torch.")
        return f"{'GPU' if self._device.startswith('cuda') else 'CPU'}, {precision}"

    def generate(self, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
        """Continue `prompt` greedily. Closing the iterator stops within one step and waits for the thread to end."""
        pieces: queue.SimpleQueue[list[int] | BaseException | None] = queue.SimpleQueue()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(list(prompt), max_new_tokens, pieces, stop), name="generation", daemon=True
        )
        thread.start()
        made = 0
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    with translated("The model"):
                        raise piece
                kept = piece[: next((i for i, token in enumerate(piece) if token in self._stop_ids), len(piece))]
                made += len(kept)
                if len(kept) < len(piece) or made >= max_new_tokens:
                    yield Step(tuple(kept), finish="stop" if len(kept) < len(piece) else "length")
                    return
                yield Step(tuple(kept))
            yield Step(finish="stop")
        finally:
            stop.set()
            thread.join()

    def _run(
        self,
        prompt: list[int],
        max_new_tokens: int,
        pieces: queue.SimpleQueue[list[int] | BaseException | None],
        stop: threading.Event,
    ) -> None:
        import torch

        try:
            ids = torch.tensor([prompt], device=self._device)
            with torch.inference_mode():
                self._model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=self._settings(max_new_tokens),
                    streamer=_streamer(pieces),
                    stopping_criteria=[_stopping(stop)],
                )
            pieces.put(None)
        except BaseException as error:  # Whatever it is, the thread that reads the queue must hear of it.
            pieces.put(error)

    def _settings(self, max_new_tokens: int) -> Any:
        from copy import deepcopy

        settings = deepcopy(self._model.generation_config)
        # Greedy, whatever the model's own settings: its streamer takes one beam alone.
        settings.do_sample, settings.num_beams = False, 1
        # What only matters to sampling is warned about where nothing is sampled.
        settings.temperature = settings.top_p = settings.top_k = settings.min_p = settings.typical_p = None
        settings.max_length = None
        settings.max_new_tokens = max_new_tokens
        if self._stop_ids:
            settings.eos_token_id = sorted(self._stop_ids)
            settings.pad_token_id = settings.eos_token_id[0]
        settings.prompt_lookup_num_tokens = _LOOKUP_TOKENS if self._lookup else None
        return settings


def _streamer(pieces: queue.SimpleQueue[list[int] | BaseException | None]) -> BaseStreamer:
    from transformers.generation.streamers import BaseStreamer

    class Streamer(BaseStreamer):
        def __init__(self) -> None:
            self.prompt_seen = False

        def put(self, value: torch.Tensor) -> None:
            if self.prompt_seen:
                pieces.put([int(token) for token in value.reshape(-1).tolist()])
            self.prompt_seen = True

        def end(self) -> None:
            """Nothing: the end is told once generate has returned."""

    return Streamer()


def _stopping(stop: threading.Event) -> Any:
    import torch
    from transformers import StoppingCriteria

    class Stopping(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
            return torch.full((input_ids.shape[0],), stop.is_set(), device=input_ids.device, dtype=torch.bool)

    return Stopping()


def _load(folder: Path, device: str, dtype: torch.dtype, four_bit: bool) -> Any:
    """Return the model on `device`, in evaluation mode. Raises ModelLoadError, OutOfMemoryError."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": False}
    if four_bit:
        # NF4 with doubly quantised scales: Dettmers et al. 2023, QLoRA, arXiv:2305.14314.
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": device}
    with translated(folder.name):
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), **options)
        return model if four_bit else model.to(device)


def device_dtype(*, on_gpu: bool, lent_gpu: bool = False) -> torch.dtype:
    """Return the type to compute in: bfloat16 where the card has it, float16 on older ones, float32 on a CPU."""
    import torch

    if not on_gpu:
        return torch.float32
    # Outside its window the lent GPU cannot be asked; ZeroGPU's all have bfloat16.
    return torch.bfloat16 if lent_gpu or torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _short_of_memory(folder: Path, device: str) -> bool:
    """Whether 16-bit weights do not fit while bitsandbytes is there to make them smaller."""
    from importlib.util import find_spec

    needed = 2 * sum(weight_counts(folder).values()) + _GPU_RESERVE_BYTES
    if needed <= free_gpu_bytes(device):
        return False
    if find_spec("bitsandbytes") is None:
        raise ModelLoadError(
            f"{folder.name} needs {needed >> 30} GiB of GPU memory and bitsandbytes, which would halve that twice, is "
            "not installed; pip install bitsandbytes, or set RAG_MODEL to a smaller model"
        )
    return True
