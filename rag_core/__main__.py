"""`python -m rag_core`: see rag_core.cli."""

from __future__ import annotations

import sys

from rag_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
