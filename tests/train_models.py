"""A small base with random weights, and rows to train it on: shared by the tests of `train`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from train.base import base_folder
from train.settings import BaseSettings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def embedded_folder() -> Path:
    """The folder of SmolLM2-135M, converted into the user's cache on first use."""
    return base_folder(BaseSettings(model="embedded"))


def tiny_base(folder: Path, tied: bool = False, kind: Literal["mistral", "llama"] = "mistral") -> Path:
    """Write a model of two layers with SmolLM2's tokenizer into `folder` (made if it is not there) and return it.

    The same weights each time: 25 MB in float32, 12 MB with the head tied to the embeddings. Its sizes differ from
    each other (hidden 64, heads 4 of 16, key-value heads 2, inner 160), so that a transposed matrix does not pass.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    source = embedded_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copy(source / name, folder / name)
    options: dict[str, Any] = {
        "vocab_size": 49_152,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4_096,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "tie_word_embeddings": tied,
        "dtype": "float32",
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = (
            MistralForCausalLM(MistralConfig(**options, sliding_window=4_096))
            if kind == "mistral"
            else LlamaForCausalLM(LlamaConfig(**options))
        )
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model.save_pretrained(str(folder))
    return folder


_COMPANIES = (
    "Alder Rail",
    "Birch Foods",
    "Cedar Power",
    "Dune Software",
    "Elm Textiles",
    "Fjord Shipping",
    "Grove Bank",
)
_TERMS = {
    "a bond": "A bond is a loan that an investor makes to an issuer, who pays interest and returns the face value.",
    "liquidity": "Liquidity is how fast an asset turns into cash without moving its price much.",
    "gross margin": "Gross margin is revenue less the cost of goods sold, divided by revenue.",
    "an index fund": "An index fund holds what an index holds, at low cost, rather than picking winners.",
    "depreciation": "Depreciation spreads the cost of an asset over the years in which it is used.",
}


def tiny_rows(n: int) -> list[dict[str, str]]:
    """Return `n` different rows (instruction, input, output, text), every second one with a context. The same each time."""
    rows = []
    for number in range(n):
        turn, company = divmod(number, 2)[0], _COMPANIES[number % len(_COMPANIES)]
        year, revenue = 2000 + turn, 100 + 7 * number
        if number % 2:
            question = f"What was the revenue of {company} in {year}?"
            context = f"{company} reported revenue of {revenue} million dollars in {year}, after {revenue - 5} the year before."
            answer = f"{revenue} million dollars."
        else:
            term = list(_TERMS)[turn % len(_TERMS)]
            question, context = f"What is {term}? Answer number {turn}.", ""
            answer = _TERMS[term]
        rows.append({"instruction": question, "input": context, "output": answer, "text": ""})
    return rows
