"""`train.finetune` in a process that ends itself by SIGKILL: before the line of a step is written, or before a rename.

python tests/killed_training.py step:5 CONFIG [options of train.finetune]
python tests/killed_training.py publish:4 CONFIG ...
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import train.trainer
from train.finetune import main
from train.journal import Journal


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arrange(where: str) -> None:
    kind, _, number = where.partition(":")
    if kind == "step":
        note = Journal.note

        def note_until(self: Journal, event: str, step: int, **values: Any) -> None:
            if event == "step" and step == int(number):
                _die()
            note(self, event, step, **values)

        Journal.note = note_until  # type: ignore[method-assign]
    else:
        publish = train.trainer.publish

        def publish_until(work: Any, step: int) -> Any:
            return _die() if step == int(number) else publish(work, step)

        train.trainer.publish = publish_until


if __name__ == "__main__":
    arrange(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
