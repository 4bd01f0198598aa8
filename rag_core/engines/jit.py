"""Where compiled kernels are kept, so that only the first start on a machine compiles them (some 20 s)."""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType

__all__ = ["ENCODING", "GENERATION", "READING", "compiled_before", "load_kernels"]

# Modules of kernels, each with the function that, once compiled, has compiled all others.
_ENTRIES = {
    "rag_core.engines.kernels": "forward",
    "rag_core.encoder.kernels": "encode_pieces",
    "rag_core.encoder.generator_kernels": "read_pieces",
}
_SOURCES = (
    "engines/kernels.py", "engines/products.py", "engines/tiles.py", "engines/vectors.py", "engines/counters.py",
    "encoder/kernels.py", "encoder/generator_kernels.py", "encoder/attending.py", "encoder/dots.py", "encoder/pairs.py",
    "encoder/shapes.py", "encoder/shares.py",
)  # fmt: skip
GENERATION, ENCODING, READING = _ENTRIES
_LOCK = threading.Lock()


def load_kernels(cache: Path, module: str = GENERATION) -> ModuleType:
    """Return the module of the kernels; what it compiles is kept under `cache`, or nowhere if that cannot be written."""
    with _LOCK:
        if module not in sys.modules:
            import numba

            folder = _folder(cache)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError:
                # numba refuses to work with no place to write; one that is gone with the process serves too.
                folder = Path(tempfile.mkdtemp(prefix="kernels-"))
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        return importlib.import_module(module)


def compiled_before(cache: Path, module: str = GENERATION) -> bool:
    """Whether kernels of this version are under `cache`."""
    return any(_folder(cache).rglob(f"*.{_ENTRIES[module]}-*.nbi"))


def _folder(cache: Path) -> Path:
    """Return the folder for this version of the sources: numba itself looks at one of the files only."""
    here = Path(__file__).parent.parent
    sources = b"".join((here / name).read_bytes() for name in _SOURCES)
    return cache / f"kernels-{hashlib.sha256(sources).hexdigest()[:12]}"
