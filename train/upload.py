"""Checkpoints to the Hub: in the background while training goes on, and `python -m train.upload RUN` for the rest."""

from __future__ import annotations

import hashlib
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rag_core.errors import RagError
from train.checkpoint import Checkpoint, list_checkpoints
from train.errors import HubError
from train.hub import list_remote_checkpoints, prepare_repo, push_folder, remote_digest
from train.hub_errors import wait_asked
from train.terminal import command_parser, note, run, write

__all__ = ["Listener", "Uploader", "backoff_seconds", "is_uploaded", "main", "missing_checkpoints"]

# Another try after 2, 4, 8 ... seconds, never more than five minutes apart; the last of ten is some 17 minutes in.
_TRIES = 10
_LONGEST_WAIT_SECONDS = 300.0
# Once training is over, so many more tries for each checkpoint, so long apart.
_LAST_TRIES = 3
_LAST_WAIT_SECONDS = 5.0
_ADAPTER = "adapter_model.safetensors"
_DETAILS = "training.json"

_DESCRIPTION = """Send the checkpoints of a run that its Hub repository lacks: those that were not uploaded when training
ended, or was killed. One commit each, tagged step-000200 and so on; what is there already is left alone."""
_EXAMPLES = """
python -m train.upload runs/mistral-7b-finance
python -m train.upload runs/smollm2-cpu --repo owner/name --public
"""


class Listener(Protocol):
    """What hears of uploads; it is called from the uploading thread."""

    def note(self, event: str, step: int, **values: Any) -> None:
        """Take an event: `upload`, with repo and revision, or with repo and error (and retry_seconds)."""

    def say(self, text: str) -> None:
        """Take a line for a person."""


@dataclass
class _Item:
    folder: Path
    step: int
    state: Literal["waiting", "sent", "postponed", "refused"] = "waiting"


class Uploader:
    """Uploads finished checkpoints in order, in a thread of its own. Nothing that happens there reaches training.

    What another try may pass is tried again, later and later; what it may not is told once. A checkpoint that did not
    go up is tried again when the next one is added; those that a killed process left go up before the first one. Local
    checkpoints but for the `keep` newest are deleted once the Hub is known to have them; 0 keeps all.
    """

    def __init__(
        self,
        repo: str,
        *,
        private: bool = True,
        keep: int = 0,
        journal: Listener | None = None,
        tries: int = _TRIES,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Prepare the repository. Raises HubError without a token or where the name is wrong; not where the Hub is away."""
        self._repo, self._private, self._keep, self._journal = repo, private, keep, journal
        self._tries = tries
        self._sleep = sleep or self._pause
        self._items: list[_Item] = []
        self._changed = threading.Condition()
        self._closing = self._abandoned = self._looked_back = False
        self._thread: threading.Thread | None = None
        try:
            prepare_repo(repo, private=private)
        except HubError as error:
            if not error.retryable:
                raise
            self._say(f"{error}; checkpoints go up later")

    def add(self, folder: Path, step: int) -> None:
        """Take a finished checkpoint; return at once."""
        with self._changed:
            for item in self._items:
                if item.state == "postponed":
                    item.state = "waiting"
            self._items.append(_Item(folder, step))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def pending(self) -> list[Path]:
        """Return the folders that are not on the Hub yet, oldest first."""
        with self._changed:
            return [item.folder for item in sorted(self._items, key=lambda item: item.step) if item.state != "sent"]

    def wait(self) -> None:
        """Wait until each is sent or given up, with all the tries that training in progress would leave it."""
        with self._changed:
            self._changed.wait_for(lambda: all(item.state != "waiting" for item in self._items))

    def close(self, timeout: float | None = 900.0) -> list[Path]:
        """Wait until all is sent, or given up, or `timeout` seconds have passed; return the folders that are not there."""
        with self._changed:
            waiting = sum(item.state == "waiting" for item in self._items)
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            if waiting:
                self._say(f"Waiting for {waiting} upload{'s' if waiting > 1 else ''} to {self._repo}")
            self._thread.join(timeout)
        self._abandoned = True
        return self.pending()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            if not self._looked_back:
                self._look_back(item)
                item = self._next() or item
            try:
                state = self._send(item)
            except Exception as error:  # Whatever it is, the thread must see to the next checkpoint.
                self._say(f"{item.folder.name} did not go up ({type(error).__name__}: {error})")
                state = "refused"
            with self._changed:
                item.state = state
                self._changed.notify_all()
            if state == "sent":
                self._prune(item.folder.parent)

    def _next(self) -> _Item | None:
        with self._changed:
            while not self._abandoned:
                waiting = [item for item in self._items if item.state == "waiting"]
                if waiting:
                    return min(waiting, key=lambda item: item.step)
                if self._closing:
                    break
                self._changed.wait()
        return None

    def _look_back(self, first: _Item) -> None:
        """Take the checkpoints before the first one too that the Hub lacks: a process before this one was killed."""
        known = {item.folder for item in self._items}
        try:
            for folder in sorted(set(first.folder.parent.glob("step-*")) - known):
                step = folder.name.removeprefix("step-")
                if step.isdigit() and int(step) < first.step and not is_uploaded(folder, self._repo):
                    with self._changed:
                        self._items.append(_Item(folder, int(step)))
            self._looked_back = True
        except Exception as error:  # The next checkpoint is another occasion.
            self._say(f"Whether earlier checkpoints are on the Hub is not known yet: {error}")

    def _send(self, item: _Item) -> Literal["sent", "postponed", "refused"]:
        """Upload one checkpoint, with as many tries as it takes or may take; return what came of it."""
        name, tries, last_tries = item.folder.name, 0, 0
        while not self._abandoned:
            try:
                message = f"Checkpoint after step {item.step}"
                commit = push_folder(
                    item.folder, self._repo, message, private=self._private, tag=name, replaces=_DETAILS
                )
            except Exception as error:
                said = str(error) if isinstance(error, RagError) else f"{type(error).__name__}: {error}"
                tries, last_tries = tries + 1, last_tries + self._closing
                over = tries >= self._tries or last_tries >= _LAST_TRIES
                if over or not getattr(error, "retryable", False):
                    self._note(item.step, error=said)
                    self._say(f"{name} did not go up: {said}")
                    return "postponed" if over else "refused"
                seconds = backoff_seconds(tries, wait_asked(error))
                self._note(item.step, error=said, retry_seconds=round(seconds, 1))
                self._say(f"{name} goes up in {seconds:.0f} s: {said}")
                self._sleep(seconds)
            else:
                self._note(item.step, revision=name, commit=commit)
                self._say(f"{name} is on the Hub: {self._repo}")
                return "sent"
        return "postponed"

    def _pause(self, seconds: float) -> None:
        """Wait; the end of training cuts it short."""
        with self._changed:
            if self._closing:
                self._changed.wait(min(seconds, _LAST_WAIT_SECONDS))
            else:
                self._changed.wait_for(lambda: self._closing, seconds)

    def _prune(self, folder: Path) -> None:
        """Delete what `keep` says, each only when the Hub itself says that it has it."""
        if not self._keep:
            return
        for old in sorted(folder.glob("step-*"))[: -self._keep]:
            try:
                if is_uploaded(old, self._repo):
                    # Renamed first: a folder that is seen is whole, even if the process dies here.
                    shutil.rmtree(old.rename(old.with_name(f".deleting-{old.name}")))
            except (OSError, RagError) as error:
                self._say(f"{old.name} stays on this disk: {error}")

    def _note(self, step: int, **values: Any) -> None:
        if self._journal is not None:
            self._journal.note("upload", step, repo=self._repo, **values)

    def _say(self, text: str) -> None:
        if self._journal is not None:
            self._journal.say(text)


def backoff_seconds(tries: int, asked: float = 0.0) -> float:
    """Return the wait after so many failed tries: doubling, capped, half of it random, and no less than was asked.

    Random waits keep many clients from coming back at the same moment (Brooker 2015, "Exponential Backoff And Jitter").
    """
    longest = min(_LONGEST_WAIT_SECONDS, 2.0 ** min(tries, 16))
    return max(asked, longest * random.uniform(0.5, 1.0))  # noqa: S311


def is_uploaded(folder: Path, repo: str, tag: str = "") -> bool:
    """Whether the Hub has this very checkpoint under its tag: the same adapter, not one of an earlier run.

    `tag` is the folder's name unless it is given. Raises HubError.
    """
    name = tag or folder.name
    names = {checkpoint.tag for checkpoint in list_remote_checkpoints(repo)}
    return name in names and remote_digest(repo, name, _ADAPTER) == _digest(folder / _ADAPTER)


def missing_checkpoints(run_folder: Path, repo: str) -> list[Checkpoint]:
    """Return the checkpoints of a run that the Hub does not have, oldest first. Raises CheckpointError, HubError."""
    return [found for found in list_checkpoints(run_folder) if not is_uploaded(found.folder, repo)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Terminal:
    """Hears of uploads for a person: what went up on stdout, the rest on stderr."""

    def note(self, event: str, step: int, **values: Any) -> None:
        if "revision" in values:
            write(f"{values['revision']}\t{values['commit']}\n")

    def say(self, text: str) -> None:
        note(text)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 1 where something is still missing."""
    parser = command_parser("upload", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--repo", default="", metavar="OWNER/NAME", help="instead of run.hub_repo of its settings")
    parser.add_argument("--public", action="store_true", help="create the repository as a public one")
    options = parser.parse_args(arguments)
    newest = list_checkpoints(options.run)[-1]
    repo = options.repo or newest.settings.run.hub_repo
    if not repo:
        raise HubError(f"{options.run} names no run.hub_repo; add --repo OWNER/NAME")
    private = newest.settings.run.hub_private and not options.public
    uploader = Uploader(repo, private=private, journal=_Terminal())
    missing = missing_checkpoints(options.run, repo)
    if not missing:
        note(f"{repo} has all checkpoints of {options.run}")
        return 0
    if newest not in missing:
        # The main branch should end as the newest checkpoint; its files are there, so this is a commit alone.
        missing.append(newest)
    for checkpoint in missing:
        uploader.add(checkpoint.folder, checkpoint.step)
    uploader.wait()
    left = uploader.close()
    if left:
        note(f"{len(left)} of {len(missing)} did not go up; the same command sends them later")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(run(main))
