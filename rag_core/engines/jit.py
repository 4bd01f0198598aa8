"""Where compiled kernels are kept, so that only the first start on a machine compiles them (10 s)."""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
from pathlib import Path
from types import ModuleType

__all__ = ["compiled_before", "load_kernels"]

_MODULE = "rag_core.engines.kernels"


def load_kernels(cache: Path) -> ModuleType:
    """Return the module of the kernels; what it compiles is kept under `cache`, or nowhere if that cannot be written."""
    if _MODULE not in sys.modules:
        import numba

        folder = _folder(cache)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            # numba refuses to work with no place to write; one that is gone with the process serves too.
            folder = Path(tempfile.mkdtemp(prefix="kernels-"))
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return importlib.import_module(_MODULE)


def compiled_before(cache: Path) -> bool:
    """Whether kernels of this version are under `cache`."""
    return any(_folder(cache).rglob("*.nbi"))


def _folder(cache: Path) -> Path:
    """Return the folder for this version of the sources: numba itself looks at one of the files only."""
    here = Path(__file__).parent
    sources = b"".join((here / name).read_bytes() for name in ("kernels.py", "products.py", "vectors.py"))
    return cache / f"kernels-{hashlib.sha256(sources).hexdigest()[:12]}"
