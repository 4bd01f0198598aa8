"""What the very first start on a machine does beside other work: a model is converted, and kernels are compiled.

They take some 14 and 20 s of one core and keep Python's lock, so the model is converted in a process of its own, while this one
compiles the kernels on a model of two layers. Neither is needed for anything to be right: where one fails, whoever
needs its outcome does the work, and tells what is wrong.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from rag_core.engines.conversion import conversion_of
from rag_core.engines.jit import compiled_before

__all__ = ["FirstStart", "compile_kernels"]

log = logging.getLogger(__name__)

_CONVERT = (
    "import sys; from pathlib import Path; from rag_core.engines.conversion import converted; "
    "converted(Path(sys.argv[1]), Path(sys.argv[2]))"
)
_ROOT = Path(__file__).parent.parent.parent
# The smallest shape that goes through every kernel; types, not sizes, decide what is compiled.
_TINY: dict[str, Any] = {
    "model_type": "llama", "hidden_act": "silu", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "intermediate_size": 64, "vocab_size": 64, "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0, "tie_word_embeddings": True, "max_position_embeddings": 64,
}  # fmt: skip


class FirstStart:
    """The conversion of one GGUF file into `cache`, begun early and waited for once. Thread-safe."""

    def __init__(self, gguf: Path, cache: Path) -> None:
        """Begin nothing yet."""
        self._gguf, self._cache = gguf, cache
        self._process: subprocess.Popen[bytes] | None = None
        self._begun, self._waiting = threading.Lock(), threading.Lock()
        self._over = conversion_of(gguf, cache) is not None

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for (any more)."""
        return self._over

    def begin(self) -> None:
        """Start the process, once; nothing where the file has been converted before."""
        with self._begun:
            if self._over or self._process is not None:
                return
            paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _CONVERT, str(self._gguf), str(self._cache)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                )
            except OSError as error:
                log.info("The model is converted in this process: %s", error)
                self._over = True

    def finish(self, *, compiling: bool) -> None:
        """Wait for the process; meanwhile compile the CPU engine's kernels, if asked to."""
        self.begin()
        with self._waiting:
            if self._over:
                return
            if compiling and not compiled_before(self._cache):
                compile_kernels(self._cache)
            if self._process is not None and (code := self._process.wait()):
                log.info("The process that converts %s ended with %d", self._gguf.name, code)
            self._over = True


def compile_kernels(cache: Path) -> None:
    """Compile the CPU engine's kernels into `cache` by a pass of a tiny model of the same types as a converted one."""
    from rag_core.engines.cpu import CpuEngine
    from rag_core.engines.llama import read_settings

    try:
        with tempfile.TemporaryDirectory(prefix="kernels-") as work:
            folder = Path(work)
            _write_tiny(folder)
            if (settings := read_settings(folder)) is not None:
                CpuEngine(folder, settings, frozenset(), cache)
    except Exception as error:  # no numba, no room: the engine itself meets the same, and tells or does without
        log.info("Kernels are not compiled ahead: %s", error)


def _write_tiny(folder: Path) -> None:
    """Write a model of `_TINY`, its weights zeros."""
    import numpy as np
    from safetensors.numpy import save_file

    hidden, wide = _TINY["hidden_size"], _TINY["intermediate_size"]
    kept = _TINY["num_key_value_heads"] * _TINY["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kept, hidden), "self_attn.v_proj": (kept, hidden),
        "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (wide, hidden), "mlp.up_proj": (wide, hidden),
        "mlp.down_proj": (hidden, wide), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
    }  # fmt: skip
    weights = {
        f"model.layers.{layer}.{name}.weight": np.zeros(shape, dtype=np.float32)
        for layer in range(_TINY["num_hidden_layers"])
        for name, shape in shapes.items()
    }
    weights["model.embed_tokens.weight"] = np.zeros((_TINY["vocab_size"], hidden), dtype=np.float32)
    weights["model.norm.weight"] = np.zeros(hidden, dtype=np.float32)
    save_file(weights, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(_TINY), encoding="utf-8")
