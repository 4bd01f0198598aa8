"""Small models with random weights in folders such as the Hub has, with a tokenizer and a chat template of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

WORDS = 101
# As the first Mistral models have it: no system role, and turns that must alternate.
NO_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ ' [INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def tiny_model(folder: Path, kind: str = "llama", *, dtype: str = "float32", **settings: Any) -> Path:
    """Write a `llama` or `mistral` model of two layers with random weights, 101 words and 512 positions into `folder`.

    A number names each word ("w17"). The weights are far larger than those of a model before training, so that what
    it says depends on what it has read, and two words seldom come close to a tie.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": WORDS,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "use_cache": True,
    }
    if kind == "mistral":
        shape["sliding_window"] = None  # type: ignore[assignment]
    config = AutoConfig.for_model(kind, **{**shape, **settings})
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config)
    model.to(getattr(torch, dtype)).save_pretrained(str(folder))
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    control = ["<unk>", "<s>", "</s>"]
    words = {word: number for number, word in enumerate([*control, *(f"w{n}" for n in range(3, WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": NO_SYSTEM}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_tiny_encoder(folder: Path) -> None:
    """Write a sentence encoder of two layers, with random weights and the embedded one's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    from train.reader.network import base_encoder

    shutil.copy(base_encoder() / "tokenizer.json", folder / "tokenizer.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
        BertModel(config, add_pooling_layer=False).save_pretrained(str(folder))
