"""How long a model takes from the disk to its first token, each time in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["start_seconds"]

ROOT = Path(__file__).parent.parent
_CODE = """
import sys, time
from pathlib import Path
import torch
from bench.gpu import PROMPT, answer, engine, random_prompts
torch.zeros(1, device="cuda")
started = time.perf_counter()
answer(engine(Path(sys.argv[1])), random_prompts(1, PROMPT)[0], 1)
print(time.perf_counter() - started)
"""


def start_seconds(folder: Path) -> list[float]:
    """Return the seconds from weights on disk to the first token in two new processes, imports not counted.

    The first compiles the kernels, the second finds them compiled, as every start after a machine's first does.
    """
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", _CODE, str(folder)],
                capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "TRITON_CACHE_DIR": cache},
            )  # fmt: skip
            found.append(float(done.stdout.split()[-1]))
    return found
