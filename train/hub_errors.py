"""What the Hub's client raises, in our words: what is wrong, what to do, and whether another try may pass."""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING

from rag_core.errors import RagError
from train.errors import DiskError, HubError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

__all__ = ["hub_error", "wait_asked"]

# Statuses that pass: time-outs, a commit beside ours, too many requests; and all of 500 and above.
_PASSING = frozenset({408, 409, 412, 423, 425, 429})
_TOKENS = "https://huggingface.co/settings/tokens"


def hub_error(repo: str, error: Exception) -> Exception:
    """Return our error for what the client raised about `repo`; `error` itself where it is ours or a fault of ours."""
    if isinstance(error, (RagError, TypeError, AttributeError, NameError, AssertionError)):
        return error
    error = _root(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskError(f"The disk is full ({repo} needs room); free some, or set HF_HOME to a larger one")
    message, retryable = _explained(repo, error)
    found = HubError(_without_token(message))
    found.retryable = retryable
    return found


def wait_asked(error: BaseException) -> float:
    """Return the seconds that the Hub asked to wait before another try, 0 where it asked for nothing."""
    from huggingface_hub.errors import HfHubHTTPError

    cause = error.__cause__
    root = _root(cause) if isinstance(cause, Exception) else None
    if not isinstance(root, HfHubHTTPError):
        return 0.0
    asked = root.response.headers.get("Retry-After", "")
    if asked.isdigit():
        return float(asked)
    # `"api";r=0;t=55`: none remain, more in 55 seconds (draft-ietf-httpapi-ratelimit-headers-09).
    limit = re.search(r";\s*r=0\s*;\s*t=(\d+)", root.response.headers.get("RateLimit", ""))
    return float(limit[1]) if limit else 0.0


def _root(error: Exception) -> Exception:
    """Return what went wrong at the bottom: the client wraps the fault of one file, and that of a look at the Hub."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cause = error.__cause__
    wraps = isinstance(error, (LocalEntryNotFoundError, RuntimeError)) and not isinstance(error, HfHubHTTPError)
    return _root(cause) if wraps and isinstance(cause, Exception) else error


def _explained(repo: str, error: Exception) -> tuple[str, bool]:
    """Return the message, and whether another try may pass."""
    import httpx
    from huggingface_hub import errors

    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"The Hub needs a token for {repo}: set HF_TOKEN ({_TOKENS}), or run hf auth login", False
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and {repo} is not on this machine; unset it", False
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(repo, error)
    if isinstance(error, (errors.HFValidationError, errors.HfUriError)):
        return f"{repo!r} names no repository; owner/name is needed, as in run.hub_repo or on its page", False
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return f"HF_ENDPOINT is no address of a Hub ({error}); unset it", False
    if isinstance(error, (httpx.LocalProtocolError, UnicodeEncodeError)):
        return f"HF_TOKEN holds characters that no token has; copy it again from {_TOKENS}", False
    if isinstance(error, errors.LocalEntryNotFoundError):
        return f"{repo} is not on this machine and the Hub cannot be reached; connect and try again", True
    if isinstance(error, httpx.HTTPError):
        return f"The Hub cannot be reached for {repo} ({type(error).__name__}); try again when it can", True
    if isinstance(error, OSError):
        if error.filename is not None:
            return f"{error.filename} cannot be used for {repo} ({error.strerror}); is it there and readable?", False
        return f"The connection to the Hub broke ({error.strerror or type(error).__name__}); try again", True
    lasting = isinstance(error, (ValueError, KeyError)) and not isinstance(error, json.JSONDecodeError)
    advice = "correct that and try again" if lasting else "try again"
    return (
        f"The exchange with the Hub about {repo} failed ({type(error).__name__}: {_line(error)}); {advice}",
        not lasting,
    )


def _refused(repo: str, error: HfHubHTTPError) -> tuple[str, bool]:
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: accept its terms on its page and use a token of that account", False
    if isinstance(error, errors.DisabledRepoError):
        return f"{repo} was disabled by the Hub; take another", False
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"The Hub shows no {repo} to this token; check the name, or set HF_TOKEN to one that may see it", False
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no such revision; its tags name its checkpoints", False
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repo} lacks a file that is needed; take another revision", False
    if status == 401:
        return f"The Hub refuses the token for {repo} (401); set HF_TOKEN to a valid one ({_TOKENS})", False
    if status == 403:
        said = f": {_line(error)}" if error.server_message else ""
        return f"The token may not do this to {repo} (403{said}); use one that may write there ({_TOKENS})", False
    if status in _PASSING or status >= 500:
        return f"The Hub cannot answer for {repo} just now ({status}); try again in a while", True
    return f"The Hub refuses what it was asked about {repo} ({status}: {_line(error)})", False


def _line(error: Exception) -> str:
    """Return the first line of what was said, the Hub's own words before those of its client."""
    said = getattr(error, "server_message", None) or str(error)
    return next((line.strip() for line in said.splitlines() if line.strip()), "no details")[:300]


def _without_token(text: str) -> str:
    """Return the text without the token: a header that cannot be sent is quoted by the library that refuses it."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text
