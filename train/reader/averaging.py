"""The average of two trained readers: one that learnt something new, and the one that it started from.

`python -m train.reader.averaging FIRST SECOND OUT [--share 0.5]`. A network forgets a little of what it could while it
learns more; half-way between both it can often do both better (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models"). Both files must be changes of the same model, as `train.reader.train --start` writes them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from train.errors import CheckpointError, TrainError
from train.reader.packing import packed, read_change, read_whole, save_whole

__all__ = ["average", "main"]


def average(first: Path, second: Path, out: Path, share: float = 0.5) -> None:
    """Write to `out` the weights (1 - `share`) of `first` and `share` of `second`, in [0, 1]; packed as they are there.

    Raises CheckpointError for a file that is no trained reader, or of another shape, and BaseModelError for one that was
    trained from another model.
    """
    if not 0.0 <= share <= 1.0:
        raise CheckpointError(f"--share is {share}; it must be between 0 and 1")
    from safetensors.torch import load_file

    base, ours = read_change(first)
    theirs, kept = read_whole(second, base), load_file(str(second))
    if {name: tensor.shape for name, tensor in ours.items()} != {name: tensor.shape for name, tensor in theirs.items()}:
        raise CheckpointError(f"{first} and {second} hold other tensors; take two of the same recipe")
    stored = {}
    for name, tensor in ours.items():
        mixed = tensor.lerp(theirs[name], share).contiguous()
        if name in kept:
            stored[name] = mixed.to(kept[name].dtype)
        else:
            stored[f"{name}.numbers"], stored[f"{name}.scales"] = packed(mixed)
    save_whole(stored, out, base)


def main() -> int:
    """Average the files that the command names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m train.reader.averaging", description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second, in [0, 1]")
    options = parser.parse_args()
    try:
        average(options.first, options.second, options.out, options.share)
    except TrainError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
