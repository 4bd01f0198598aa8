"""A small base with random weights, and rows to train it on: shared by the tests of `train`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from train.base import base_folder
from train.reader.network import reading_loss, scores_of
from train.reader.pairs import Batch
from train.settings import BaseSettings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def take_steps(network: Any, batch: Batch, rate: float, count: int) -> float:
    """Train a reader `count` steps on one batch with AdamW at `rate`; return the loss before the last of them."""
    import torch

    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=rate)
    for _ in range(count):
        loss = reading_loss(scores_of(network, batch), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


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


# How Mistral-7B-Instruct-v0.1 writes a conversation: no system role, turns that alternate, the answer ended by </s>.
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}"
    "{% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must alternate') }}{% endif %}"
    "{% if turn['role'] == 'user' %}{{ '[INST] ' + turn['content'] + ' [/INST]' }}"
    "{% else %}{{ turn['content'] + eos_token }}{% endif %}{% endfor %}"
)


def mistral_tokenizer(folder: Path) -> Path:
    """Write Mistral's first tokenizer (32,000 pieces) into `folder` as the Hub's folder of the model holds it.

    The pieces are those of the SentencePiece file that mistral-common carries; rules and settings are those of the
    tokenizer.json that is converted from it: a space before each stretch of text, bytes for what no piece covers.
    """
    import mistral_common
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers.utils import sentencepiece_model_pb2_new as format_

    source = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
    content = format_.ModelProto()
    content.ParseFromString(source.read_bytes())
    ids = {piece.piece: number for number, piece in enumerate(content.pieces)}
    tokenizer = Tokenizer(
        models.BPE(vocab=ids, merges=_merges(content.pieces, ids), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in ("<unk>", "<s>", "</s>")])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "tokenizer_class": "LlamaTokenizer",
        "chat_template": MISTRAL_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _merges(pieces: Any, ids: dict[str, int]) -> list[tuple[str, str]]:
    """Return the pairs that make each piece, the best piece first: SentencePiece stores scores in their place."""
    found = []
    for piece in pieces:
        if piece.type != 1:  # control, unknown and byte pieces are made of nothing
            continue
        text = piece.piece
        pairs = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        found += [(-piece.score, -len(left), left, right) for left, right in pairs if left in ids and right in ids]
    return [(left, right) for _, _, left, right in sorted(found)]
