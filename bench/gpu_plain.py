"""The other side of `bench.gpu`: `transformers` as its documentation shows it, and questions over documents."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent


class PlainModel:
    """A model by `from_pretrained` on the card, generating greedily by `generate`."""

    def __init__(self, folder: Path, recipe: dict[str, Any] | None = None) -> None:
        """Load it onto the card."""
        from transformers import AutoModelForCausalLM

        options: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": {"": 0}, **(recipe or {})}
        self.model: Any = AutoModelForCausalLM.from_pretrained(str(folder), **options)

    def answer(self, prompt: Sequence[int], tokens: int) -> tuple[list[int], float]:
        """Return an answer of exactly `tokens` tokens and its seconds."""
        ids = torch.tensor([list(prompt)], device="cuda")
        torch.cuda.synchronize()
        started = time.perf_counter()
        out = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        found = out[0, ids.shape[1] :].tolist()
        return found, time.perf_counter() - started

    def speed(self, prompt: Sequence[int], tokens: int) -> tuple[float, float]:
        """Return the seconds to the first token and tokens per second from there on."""
        self.answer(prompt, 4)
        first = sorted(self._rested(prompt) for _ in range(3))[1]
        return first, (tokens - 1) / (self.answer(prompt, tokens)[1] - first)

    def _rested(self, prompt: Sequence[int]) -> float:
        time.sleep(1.0)  # as for ours: the card's clocks fall under prompts that come back to back
        return self.answer(prompt, 1)[1]

    def many(self, prompts: list[list[int]], tokens: int) -> float:
        """Return tokens per second of `generate_batch` over all prompts."""
        from transformers import GenerationConfig

        settings: Any = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        self.model.set_attn_implementation("paged|sdpa")
        self.model.generate_batch(inputs=prompts[:2], generation_config=settings)
        started = time.perf_counter()
        found = self.model.generate_batch(inputs=prompts, generation_config=settings)
        taken = time.perf_counter() - started
        return sum(len(each.generated_tokens) for each in found.values()) / taken

    def agreement(self, prompts: list[list[int]], ours: list[list[int]]) -> dict[str, float]:
        """Compare our tokens with the model's own choice after the same words.

        `share`: of all tokens, those that the model, shown prompt and our answer, would choose as well. `gap`: by how
        much its own choice was ahead where it differs, in logits, at most; bfloat16 tells logits of 16 to 32 apart by
        0.125.
        """
        same = total = 0
        gaps = [0.0]
        for prompt, answer in zip(prompts, ours, strict=True):
            ids = torch.tensor([[*prompt, *answer]], device="cuda")
            with torch.inference_mode():
                logits = self.model(ids).logits[0, len(prompt) - 1 : -1].float()
            chosen = torch.tensor(answer, device="cuda")
            ahead = logits.max(-1).values - logits.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
            same += int((logits.argmax(-1) == chosen).sum())
            total += len(answer)
            gaps.append(float(ahead.max()))
        pairs = zip(prompts, ours, strict=True)
        # Ours have no stop token; where one came, a free run goes on behind it.
        whole = sum(not answer or self.answer(prompt, len(answer))[0] == answer for prompt, answer in pairs)
        return {"share": same / total, "gap": max(gaps), "whole answers": whole, "answers": len(ours)}

    def close(self) -> None:
        """Give the memory back."""
        self.__dict__.clear()
        gc.collect()
        torch.cuda.empty_cache()


def four_bit_recipe() -> dict[str, Any] | None:
    """Return the options for NF4 as the documentation shows it, None where bitsandbytes is not installed."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        print("bitsandbytes is not installed: no plain figure for four bits", flush=True)
        return None
    from transformers import BitsAndBytesConfig

    settings: Any = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    return {"quantization_config": settings}


def small_model(model: str) -> Path:
    """Return the folder of the small real model."""
    from rag_core.config import RagConfig
    from rag_core.engines.local import model_folder
    from rag_core.models import resolve_generator

    config = RagConfig().with_setting("generation.model", model).with_setting("generation.device", "cpu")
    return model_folder(resolve_generator(config.generation), config.cache_directory)


def document_prompts(folder: Path) -> list[list[int]]:
    """Return prompts for answers that quote: 800 characters of a sample text each, around what a sample question is about."""
    from rag_core.engines.tokens import ChatTokenizer
    from rag_core.policy import SMALL
    from rag_core.records import Message

    tokenizer = ChatTokenizer(folder)
    samples = ROOT / "sample_files"
    found = []
    for entry in json.loads((samples / "questions.json").read_text(encoding="utf-8")):
        if not entry["evidence"] or Path(entry["file"]).suffix not in (".md", ".txt"):
            continue
        text = (samples / entry["file"]).read_text(encoding="utf-8")
        at = max(0, text.find(entry["evidence"]) - 400)
        asked = f"{text[at : at + 800]}\n\nRepeat the passage above word for word."
        found.append(tokenizer.encode([Message("system", SMALL.system), Message("user", asked)]))
    return found
