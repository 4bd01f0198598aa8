"""What must be settled before Gradio or torch is imported: no reports to anyone, a private folder for uploads."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

__all__ = ["on_space", "prepare"]


def on_space() -> bool:
    """Whether this process runs on a Hugging Face Space."""
    return bool(os.environ.get("SPACE_ID"))


def prepare() -> None:
    """Set the environment of this process; call it before anything imports gradio."""
    if os.environ.get("SPACES_ZERO_GPU"):
        import spaces  # noqa: F401  # on ZeroGPU it must come before torch
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "GRADIO_TEMP_DIR" not in os.environ:
        # Gradio's own default is one folder for all programs and users of the machine.
        folder = tempfile.mkdtemp(prefix="ragoptimize-uploads-")
        os.environ["GRADIO_TEMP_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
