"""A model of Mistral-7B's shape with random weights: speed and memory depend on shapes, not on what was learnt.

`python -m train.proofs.weights FOLDER [--layers 32]` writes it in bfloat16 (14.5 GB), on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.terminal import note, run

__all__ = ["main", "mistral_config", "write_random_weights"]


def mistral_config(layers: int = 32, **changes: Any) -> Any:
    """Return the config of Mistral-7B-Instruct-v0.1, with as many layers as asked for."""
    from transformers import MistralConfig

    shape: dict[str, Any] = {
        "vocab_size": 32_000,
        "hidden_size": 4_096,
        "intermediate_size": 14_336,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 32_768,
        "sliding_window": 4_096,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return MistralConfig(**{**shape, **changes})


def write_random_weights(folder: Path, layers: int = 32, seed: int = 0, **changes: Any) -> Path:
    """Write the model unless it is there, and return its folder."""
    import torch
    import transformers

    if (folder / "config.json").is_file():
        return folder
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        create: Any = transformers.AutoModelForCausalLM
        model = create.from_config(mistral_config(layers, **changes), dtype=torch.bfloat16)
    model.save_pretrained(str(folder))
    return folder


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.proofs.weights", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=32)
    options = parser.parse_args(arguments)
    note(f"{write_random_weights(options.folder, options.layers)} holds {options.layers} layers of random weights")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
