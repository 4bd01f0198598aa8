"""What all commands share: expected errors become one line, results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from rag_core.errors import RagError
from rag_core.terminal import note, write

__all__ = ["command_parser", "note", "run", "write"]

_LOUD = ("transformers", "huggingface_hub", "peft", "accelerate", "bitsandbytes", "httpx", "datasets")


def command_parser(name: str, description: str, examples: str, notes: str = "") -> argparse.ArgumentParser:
    """Return a parser for `python -m train.NAME` whose help teaches by `examples` (one command a line)."""
    shown = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    return argparse.ArgumentParser(
        prog=f"python -m train.{name}",
        description=description,
        epilog=f"examples:\n{shown}\n" + (f"\n{notes.rstrip()}\n" if notes else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """Run a command on `arguments` (those of the process when None) and return its exit code.

    0 done, 1 failed with one line on stderr, 2 wrong usage. Errors raised on purpose, a full disk and exhausted memory
    become one line; anything else is a fault of ours and shows where it is.
    """
    _calm_libraries()
    try:
        return main(sys.argv[1:] if arguments is None else arguments)
    except RagError as error:
        note(f"error: {error}")
    except KeyboardInterrupt:
        note("stopped")
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has what it wanted; nothing more can be said to it.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        return 0
    except Exception as error:
        line = _exhausted(error)
        if line is None:
            raise
        note(f"error: {line}")
    return 1


def _exhausted(error: Exception) -> str | None:
    """Return the line for memory or a disk that ran out, None for any other error."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full ({error.filename or 'no file named'}); free some space and start again"
    # torch has a class for a full GPU; a full CPU is a plain RuntimeError.
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "Out of memory; lower batch.tokens, --set base.quantization=nf4, or take a larger machine"
    return None


def _calm_libraries() -> None:
    """Keep the libraries' own progress bars and notices out of stderr, which is ours to explain things on."""
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_NO_ADVISORY_WARNINGS", "BITSANDBYTES_NOWELCOME"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Notices of one library to the next one's authors.
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
