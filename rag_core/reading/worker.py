"""The child process that parses one file: takes a job as JSON on stdin, gives progress and the result as lines of JSON.

It may be killed at any time, runs under limits of memory and processor time, and knows no secret of its parent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rag_core.reading.building import Refused, TextBuilder

__all__ = ["main"]


def main() -> None:
    """Read the job, parse, write `{"progress": [done, total]}` lines, then `{"document": ...}` or `{"error": ...}`."""
    job = json.loads(sys.stdin.readline())
    output = sys.stdout
    # What a library prints must not be taken for a result.
    sys.stdout = sys.stderr

    def say(message: dict[str, Any]) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    _limit(job["memory_bytes"], job["seconds"])
    builder = TextBuilder(job["characters"], job["pages"], lambda done, total: say({"progress": [done, total]}))
    try:
        _parse(Path(job["path"]), job["suffix"], builder, job["pages"])
        say({"document": builder.result()})
    except Refused as refusal:
        say({"error": [refusal.kind, str(refusal)]})
    except (MemoryError, RecursionError):
        say({"error": ["DocumentTooLargeError", "takes more memory to read than is allowed; split it"]})
    except Exception as error:  # The edge: whatever a parser of hostile formats raises means that it gave up.
        reason = " ".join(str(error).split())[:120]
        say({"error": ["CorruptDocumentError", f"is damaged and cannot be read ({type(error).__name__}: {reason})"]})


def _limit(memory_bytes: int, seconds: float) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        cpu = int(seconds) + 5
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        return  # Systems without these limits have the parent's clock.


def _parse(path: Path, suffix: str, out: TextBuilder, pages: int) -> None:
    if suffix == ".pdf":
        from rag_core.reading.pdf import read_pdf

        read_pdf(path, out, pages)
    elif suffix == ".docx":
        from rag_core.reading.word import read_word

        read_word(path, out)
    elif suffix in (".html", ".htm"):
        from rag_core.reading.html import read_html

        read_html(path, out)
    elif suffix in (".csv", ".tsv"):
        from rag_core.reading.sheets import read_csv

        read_csv(path, out)
    elif suffix == ".xlsx":
        from rag_core.reading.sheets import read_workbook

        read_workbook(path, out)
    else:
        from rag_core.reading.plain import read_markdown, read_text

        (read_text if suffix == ".txt" else read_markdown)(path, out)


if __name__ == "__main__":
    main()
