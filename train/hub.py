"""The Hub: checkpoints as commits with tags, data sets as files, and every error as one line.

A checkpoint is one commit to `main` whose root is the checkpoint's content, so that
`PeftModel.from_pretrained(repo, revision="step-000200")` works; its tag is the folder's name, `best` a tag that moves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from train.checkpoint import STATE
from train.errors import HubError
from train.hub_errors import hub_error

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = [
    "BEST_TAG",
    "RemoteCheckpoint",
    "fetch_checkpoint",
    "fetch_dataset",
    "hub_api",
    "list_remote_checkpoints",
    "prepare_repo",
    "push_folder",
    "remote_digest",
    "require_token",
    "tag",
    "translated_hub",
]

BEST_TAG = "best"
_STEP_TAG = re.compile(r"step-(\d{6,})")
# What a repository has besides a checkpoint: kept when the next one takes its place.
_KEPT = {".gitattributes", ".gitignore", "README.md"}
_DATA_FILES = ["*.json", "*.jsonl", "*.parquet"]
_DATA_FACTS = ["dataset_info*.json", "*/dataset_info*.json", ".*"]


@dataclass(frozen=True, slots=True)
class RemoteCheckpoint:
    """A checkpoint on the Hub: its step, its tag and the commit that the tag names."""

    step: int
    tag: str
    commit: str


def hub_api() -> HfApi:
    """Return the client, for the Hub that HF_ENDPOINT names; it finds the token by itself."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)


def require_token() -> str:
    """Return the user's token. It must never be shown or logged. Raises HubError where there is none."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise HubError(
            "The Hub needs a token: set HF_TOKEN to one that may write (https://huggingface.co/settings/tokens), "
            "or run hf auth login"
        )
    return token


@contextmanager
def translated_hub(repo: str) -> Iterator[None]:
    """Turn what huggingface_hub, httpx and the system raise about `repo` into a HubError of one line.

    `retryable` is set on those that another try may pass. A full disk becomes a DiskError. Faults of ours pass as they
    are: TypeError, AttributeError, NameError, AssertionError.
    """
    try:
        yield
    except Exception as error:
        found = hub_error(repo, error)
        if found is error:
            raise
        raise found from error


def prepare_repo(repo: str, *, private: bool = True) -> None:
    """Create the model repository unless it exists; so a wrong name or token is told before any GPU time.

    Raises HubError.
    """
    require_token()
    with translated_hub(repo):
        hub_api().create_repo(repo, private=private, exist_ok=True)


def push_folder(
    folder: Path, repo: str, message: str, *, private: bool = True, tag: str | None = None, replaces: str | None = None
) -> str:
    """Upload the content of `folder` as one commit to `main` and return the commit's id.

    The repository is created where it does not exist; `tag` is set, or moved, to the commit. With `replaces`, files
    that are not in `folder` are removed, and content is refused that does not hold the file of that name: it is not
    ours. Raises HubError, whose `retryable` says whether another try may help; then nothing is committed, or all is.
    """
    prepare_repo(repo, private=private)
    with translated_hub(repo):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api = hub_api()
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        files = {name: path for name, path in files.items() if not name.startswith(".")}
        if not files:
            raise HubError(f"{folder} holds no files to upload to {repo}; is it still there?")
        additions = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
        stale = _stale(api, repo, replaces, set(files)) if replaces else []
        # Not upload_folder: with xet it may spread a folder over several commits, and a checkpoint is one.
        commit = api.create_commit(
            repo, [*(CommitOperationDelete(name) for name in stale), *additions], commit_message=message
        )
        if tag is not None:
            _move_tag(api, repo, tag, commit.oid)
        return commit.oid


def _stale(api: HfApi, repo: str, marker: str, files: set[str]) -> list[str]:
    held = set(api.list_repo_files(repo)) - _KEPT
    if held and marker not in held:
        raise HubError(
            f"{repo} holds something else ({min(held)}), which this would take the place of; "
            "name a repository of its own (run.hub_repo for checkpoints)"
        )
    return sorted(held - files)


def tag(repo: str, name: str, revision: str) -> None:
    """Let the tag `name` name the commit of `revision`, moved where it exists. Raises HubError."""
    require_token()
    with translated_hub(repo):
        api = hub_api()
        commit = api.repo_info(repo, revision=revision).sha
        _move_tag(api, repo, name, str(commit))


def _move_tag(api: HfApi, repo: str, name: str, commit: str) -> None:
    """Set a tag. The Hub moves none: it must go first where it names another commit."""
    held = {found.name: found.target_commit for found in api.list_repo_refs(repo).tags}
    if held.get(name) == commit:
        return
    if name in held:
        api.delete_tag(repo, tag=name)
    api.create_tag(repo, tag=name, revision=commit, exist_ok=True)


def list_remote_checkpoints(repo: str) -> list[RemoteCheckpoint]:
    """Return the checkpoints of a repository by step, oldest first, as its tags name them. Raises HubError."""
    with translated_hub(repo):
        tags = hub_api().list_repo_refs(repo).tags
    matches = ((_STEP_TAG.fullmatch(found.name), found) for found in tags)
    found = [RemoteCheckpoint(int(match[1]), tag.name, tag.target_commit) for match, tag in matches if match]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def remote_digest(repo: str, revision: str, name: str) -> str | None:
    """Return the SHA-256 of a large file at a revision, None where it is not there. Raises HubError."""
    with translated_hub(repo):
        for found in hub_api().get_paths_info(repo, [name], revision=revision):
            large = getattr(found, "lfs", None)
            return None if large is None else str(large.sha256)
    return None


def fetch_checkpoint(repo: str, revision: str, *, state: bool = False) -> Path:
    """Return the folder of a checkpoint of the Hub, downloaded unless it is in the cache.

    `state` takes the trainer's state too, which nothing but resuming needs. Raises HubError, DiskError.
    """
    with translated_hub(repo):
        ignored = None if state else [f"{STATE}/*"]
        return Path(hub_api().snapshot_download(repo, revision=revision, ignore_patterns=ignored))


def fetch_dataset(repo_id: str) -> list[Path]:
    """Return the .json, .jsonl and .parquet files of a data set, by name, downloaded unless they are in the cache.

    Raises HubError, DiskError.
    """
    with translated_hub(repo_id):
        folder = hub_api().snapshot_download(
            repo_id, repo_type="dataset", allow_patterns=_DATA_FILES, ignore_patterns=_DATA_FACTS
        )
    kinds = {pattern.removeprefix("*") for pattern in _DATA_FILES}
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in kinds)
