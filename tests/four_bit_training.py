"""`train.finetune` with a 4-bit base on the CPU's own NF4 kernels, which the command refuses to its users.

python -m torch.distributed.run --nproc_per_node 2 tests/four_bit_training.py CONFIG [options of train.finetune]
"""

from __future__ import annotations

import sys

import bitsandbytes.nn.modules

import train.finetune
from train.finetune import main
from train.terminal import run

# Where a CPU has AVX-512's bfloat16, weights are packed for inference at the first evaluation, and then give no
# gradients; a GPU knows no such packing.
bitsandbytes.nn.modules.has_avx512bf16 = lambda: False
train.finetune._device_and_precision = lambda settings: ("cpu", "no")

if __name__ == "__main__":
    sys.exit(run(main))
