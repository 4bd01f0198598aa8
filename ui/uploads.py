"""Files that a client says it has uploaded: believed only where they lie in the server's own upload folder."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from rag_core import DocumentNotFoundError
from ui.markup import plain_name
from ui.sessions import Visitor

__all__ = ["claim", "keep_uploads_apart"]


def claim(visitor: Visitor, upload: Any) -> tuple[Path, str]:
    """Move an upload into the visitor's folder; return its path there and the name it came under.

    `upload` is what the client sent: a path, or a mapping with `path` and `orig_name`. Any path outside the upload
    folder is refused. Raises DocumentNotFoundError.
    """
    given = upload.get("path") if isinstance(upload, dict) else upload
    named = upload.get("orig_name") if isinstance(upload, dict) else None
    if not isinstance(given, str) or not given:
        raise DocumentNotFoundError("No file came with the request; send one as handle_file(path)")
    folder = _upload_folder()
    try:
        path = Path(given).resolve()
        ours = path.is_relative_to(folder) and not path.is_symlink() and path.is_file()
    except (OSError, ValueError):  # what no file can be called: a zero byte, a name beyond all lengths
        ours = False
    if not ours:
        raise DocumentNotFoundError("The upload is no longer there; send the file again")
    name = plain_name(Path(named).name if isinstance(named, str) and named else path.name, 120)
    place = visitor.take_in(path)
    # The folder of an upload is named by its content; left empty it would still tell that the file was here.
    if path.parent != folder and not any(path.parent.iterdir()):
        path.parent.rmdir()
    return place, name


def keep_uploads_apart() -> None:
    """Let every upload have a folder of its own, whose name nobody can guess.

    Gradio names it by the content, so that a file that two visitors send at the same time lies in one place, and whoever
    is served first takes it away from the other. This replaces a class that Gradio keeps to itself; its version is
    pinned, and a test watches it.
    """
    from gradio import route_utils

    class SeparateUpload(route_utils.GradioUploadFile):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.sha.update(secrets.token_bytes(16))

    route_utils.GradioUploadFile = SeparateUpload  # type: ignore[misc]


def _upload_folder() -> Path:
    from gradio.utils import get_upload_folder

    return Path(get_upload_folder()).resolve()
