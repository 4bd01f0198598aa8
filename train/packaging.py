"""The small files beside merged weights: config, generation config, tokenizer. The base's own, changed where they must be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from train.base import read_config
from train.encoding import Encoder
from train.errors import BaseModelError

__all__ = ["write_small_files"]

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
# The newer and the older name.
_TYPE_KEYS = ("dtype", "torch_dtype")


def write_small_files(base: Path, folder: Path, encoder: Encoder, dtype: str, *, tied: bool) -> None:
    """Write config, generation config and tokenizer of the merged model into `folder`.

    The config says whether the head is tied. The pad token is the one that training padded with, never the end of a
    turn: whoever trains on from here would mask that one out of the loss, and the model would not stop (trl#1623).
    Raises BaseModelError where the tokenizer does not take that token.
    """
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    pad_token = _token(base, encoder.pad_id)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            _write(folder / name, {**_read(folder / name), "pad_token": pad_token})
    _write(folder / "generation_config.json", _generation(base, encoder))
    # The config goes last: its presence says that the rest is there.
    config = read_config(base)
    keys = [key for key in _TYPE_KEYS if key in config] or [_TYPE_KEYS[0]]
    changes: dict[str, Any] = {"tie_word_embeddings": tied, "pad_token_id": encoder.pad_id, "use_cache": True}
    changes.update(dict.fromkeys(keys, dtype))
    config.pop("_name_or_path", None)
    _write(folder / "config.json", {**config, **changes})
    _require_pad(folder, encoder)


def _generation(base: Path, encoder: Encoder) -> dict[str, Any]:
    path = base / "generation_config.json"
    held = _read(path) if path.is_file() else {}
    if "eos_token_id" not in held:
        held["eos_token_id"] = encoder.end_id
    return {**held, "pad_token_id": encoder.pad_id}


def _token(base: Path, token_id: int) -> str:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(str(base), trust_remote_code=False).convert_ids_to_tokens(token_id)
    return str(found)


def _require_pad(folder: Path, encoder: Encoder) -> None:
    """Read the tokenizer back as anyone would. Raises BaseModelError where its pad token is not the chosen one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    if tokenizer.pad_token_id != encoder.pad_id or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise BaseModelError(
            f"The tokenizer of {folder.name} pads with {tokenizer.pad_token_id}, not with {encoder.pad_id}; "
            "--base FOLDER with a tokenizer_config.json that takes another pad_token"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BaseModelError(f"{path} is not JSON ({error}); download the base again") from error
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
