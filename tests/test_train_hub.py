"""Uploads, downloads and tags over HTTP against a stand-in of the Hub, by huggingface_hub itself, with faults."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from hub_stand_in import DROP, READ_TOKEN, WRITE_TOKEN, HubStandIn, child_environment, connect
from train_models import tiny_base, tiny_rows
from waiting import PATIENCE_SECONDS

from train import finetune
from train.checkpoint import list_checkpoints
from train.errors import DiskError, HubError
from train.hub import (
    BEST_TAG,
    fetch_checkpoint,
    fetch_dataset,
    list_remote_checkpoints,
    prepare_repo,
    push_folder,
    require_token,
    tag,
    translated_hub,
)
from train.hub_errors import hub_error, wait_asked
from train.journal import read_journal
from train.settings import TrainSettings
from train.trainer import Trainer
from train.upload import Uploader, backoff_seconds, is_uploaded, missing_checkpoints
from train.upload import main as upload_main

ROOT = Path(__file__).parent.parent
REPO = "someone/finance"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    with HubStandIn() as server:
        connect(monkeypatch, server, tmp_path / "home")
        yield server


@pytest.fixture(autouse=True)
def no_waits_inside_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub tries large files five times by itself, seconds apart."""
    hasty = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", hasty)


def write_checkpoint(run: Path, step: int, *, repo: str = REPO, content: str = "") -> Path:
    """Write a checkpoint as far as uploading looks at it."""
    folder = run / "checkpoints" / f"step-{step:06d}"
    (folder / "state").mkdir(parents=True)
    settings = TrainSettings()
    settings = replace(settings, run=replace(settings.run, hub_repo=repo))
    details = {"step": step, "settings": asdict(settings), "base": {}, "prompt_version": "1", "scores": {}}
    (folder / "training.json").write_text(json.dumps(details))
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(f"adapter {step} {content}".encode() * 1_000)
    (folder / "state" / "trainer.pt").write_bytes(f"state {step}".encode())
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_git_files(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != ".gitattributes"}


class Heard:
    """A journal that remembers."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def note(self, event: str, step: int, **values: Any) -> None:
        self.events.append({"event": event, "step": step, **values})

    def say(self, text: str) -> None:
        self.lines.append(text)


# Checkpoints ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_one_commit_whose_root_is_its_content(hub: HubStandIn, tmp_path: Path) -> None:
    first, second = write_checkpoint(tmp_path, 200), write_checkpoint(tmp_path, 400)
    (first / "only-here.txt").write_text("1")
    push_folder(first, REPO, "one", tag=first.name, replaces="training.json")
    commit = push_folder(second, REPO, "two", tag=second.name, replaces="training.json")
    repo = hub.repo(REPO)
    assert repo.private
    assert [entry.message for entry in repo.commits] == ["initial commit", "one", "two"]
    assert repo.head.oid == commit
    assert without_git_files(repo.head.files) == content_of(second)
    assert [(found.step, found.tag) for found in list_remote_checkpoints(REPO)] == [
        (200, first.name),
        (400, second.name),
    ]
    fetched = fetch_checkpoint(REPO, first.name)
    assert without_git_files(content_of(fetched)) == {
        name: content for name, content in content_of(first).items() if not name.startswith("state/")
    }
    assert (fetch_checkpoint(REPO, first.name, state=True) / "state" / "trainer.pt").read_bytes() == b"state 200"


def test_sending_the_same_again_commits_nothing_and_keeps_the_tag(hub: HubStandIn, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 200)
    once = push_folder(folder, REPO, "one", tag=folder.name, replaces="training.json")
    again = push_folder(folder, REPO, "again", tag=folder.name, replaces="training.json")
    assert once == again
    assert len(hub.repo(REPO).commits) == 2
    assert (hub.count("tag"), hub.count("untag")) == (1, 0)


def test_a_readme_stays_and_foreign_content_is_never_replaced(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_repo(REPO, {"README.md": b"mine", "model.safetensors": b"whole model"})
    folder = write_checkpoint(tmp_path, 200)
    with pytest.raises(HubError, match=r"holds something else \(model\.safetensors\).*hub_repo"):
        push_folder(folder, REPO, "one", replaces="training.json")
    push_folder(folder, REPO, "beside it")
    assert {"README.md", "model.safetensors", "training.json"} <= set(hub.repo(REPO).head.files)
    hub.add_repo(REPO, {"README.md": b"mine", "training.json": b"{}", "old.txt": b""})
    push_folder(folder, REPO, "one", replaces="training.json")
    assert hub.repo(REPO).head.files["README.md"] == b"mine"
    assert "old.txt" not in hub.repo(REPO).head.files


def test_the_best_tag_moves(hub: HubStandIn, tmp_path: Path) -> None:
    commits = {}
    for step in (200, 400):
        folder = write_checkpoint(tmp_path, step)
        commits[step] = push_folder(folder, REPO, str(step), tag=folder.name, replaces="training.json")
    tag(REPO, BEST_TAG, "step-000200")
    tag(REPO, BEST_TAG, "step-000400")
    tag(REPO, BEST_TAG, "step-000400")
    assert hub.repo(REPO).tags[BEST_TAG] == commits[400]
    assert (hub.count("tag"), hub.count("untag")) == (4, 1)
    with pytest.raises(HubError, match="no such revision"):
        tag(REPO, BEST_TAG, "step-000600")
    assert hub.repo(REPO).tags[BEST_TAG] == commits[400]


def test_the_files_of_a_data_set_are_downloaded_once(hub: HubStandIn) -> None:
    files = {"data/train.jsonl": b"{}\n", "b.json": b"[]", "a.parquet": b"P", "dataset_infos.json": b"{}", "x.csv": b""}
    hub.add_repo("them/alpaca", files, kind="dataset")
    found = fetch_dataset("them/alpaca")
    assert [path.name for path in found] == ["a.parquet", "b.json", "train.jsonl"]
    assert found[2].read_bytes() == b"{}\n"
    asked = hub.count("lfs_download"), hub.count("tree")
    assert fetch_dataset("them/alpaca") == found
    hub.stop()
    # What is in the cache needs no Hub.
    assert fetch_dataset("them/alpaca") == found
    assert (hub.count("lfs_download"), hub.count("tree")) == asked


# Errors --------------------------------------------------------------------------------------------------------------


def test_every_error_of_the_client_and_of_httpx_becomes_one_line() -> None:
    from huggingface_hub import errors

    request = httpx.Request("GET", "https://huggingface.co/api/models/a/b")
    response = httpx.Response(418, request=request, headers={"X-Error-Message": "a\nb"})
    kinds = [
        kind
        for module in (errors, httpx)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
    ]
    assert len(kinds) > 60
    for kind in kinds:
        error = kind.__new__(kind)
        error.args = ("first line\nsecond line",)
        error.response, error.request, error.server_message = response, request, None
        found = hub_error("a/b", error)
        assert type(found) is HubError, kind
        assert str(found), kind
        assert "\n" not in str(found), kind


@pytest.mark.parametrize(
    ("status", "headers", "said", "retryable"),
    [
        (401, {}, "refuses the token", False),
        (401, {"X_Error_Code": "RepoNotFound"}, "shows no someone/finance to this token", False),
        (403, {}, "token may not do this", False),
        (403, {"X_Error_Code": "GatedRepo"}, "gated: accept its terms", False),
        (404, {"X_Error_Code": "RevisionNotFound"}, "no such revision", False),
        (404, {"X_Error_Code": "EntryNotFound"}, "lacks a file", False),
        (400, {}, r"refuses what it was asked .*\(400: scripted 400\)", False),
        (413, {}, "refuses what it was asked", False),
        (409, {}, "just now", True),
        (412, {}, "just now", True),
        (429, {}, "just now", True),
        (500, {}, "just now", True),
        (503, {}, "just now", True),
    ],
)
def test_what_the_hub_answers_is_told_with_what_to_do(
    hub: HubStandIn, status: int, headers: dict[str, str], said: str, retryable: bool
) -> None:
    hub.add_repo(REPO)
    hub.fail("refs", status, **headers)
    with pytest.raises(HubError, match=said) as caught:
        list_remote_checkpoints(REPO)
    assert caught.value.retryable is retryable
    assert "\n" not in str(caught.value)


def test_the_hub_says_how_long_to_wait(hub: HubStandIn) -> None:
    hub.add_repo(REPO)
    for headers, seconds in (
        ({"Retry_After": "120"}, 120.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, 0.0),
        ({}, 0.0),
    ):
        hub.fail("refs", 429, **headers)
        with pytest.raises(HubError) as caught:
            list_remote_checkpoints(REPO)
        assert wait_asked(caught.value) == seconds
    assert all(backoff_seconds(3, 120.0) == 120.0 for _ in range(20))
    assert all(4.0 <= backoff_seconds(3) <= 8.0 for _ in range(20))
    assert all(150.0 <= backoff_seconds(100_000) <= 300.0 for _ in range(20))


def test_a_broken_connection_an_absent_hub_and_a_wrong_address(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fail("refs", DROP)
    with pytest.raises(HubError, match="cannot be reached") as broken:
        list_remote_checkpoints(REPO)
    hub.stop()
    with pytest.raises(HubError, match="cannot be reached") as absent:
        list_remote_checkpoints(REPO)
    with pytest.raises(HubError, match="cannot be reached") as download:
        fetch_dataset("them/alpaca")
    assert broken.value.retryable
    assert absent.value.retryable
    assert download.value.retryable
    monkeypatch.setenv("HF_ENDPOINT", "nowhere")
    with pytest.raises(HubError, match="HF_ENDPOINT") as wrong:
        list_remote_checkpoints(REPO)
    assert not wrong.value.retryable


def test_tokens_missing_wrong_and_without_rights(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path, 200)
    cases = [
        (None, "set HF_TOKEN to one that may write"),
        ("hf_unknown", "refuses the token"),
        (READ_TOKEN, "may not do this"),
        ("hf_sécret", "characters that no token has"),
    ]
    for token, said in cases:
        connect(monkeypatch, hub, tmp_path / "home", token)
        with pytest.raises(HubError, match=said) as caught:
            push_folder(folder, REPO, "one")
        assert not caught.value.retryable
        assert token is None or token not in str(caught.value)
    connect(monkeypatch, hub, tmp_path / "home")
    assert require_token() == WRITE_TOKEN
    assert WRITE_TOKEN not in str(hub_error(REPO, RuntimeError(f"Illegal header value b'Bearer {WRITE_TOKEN}'")))
    with pytest.raises(HubError, match=r"may not do this to other/one \(403: .*namespace other"):
        prepare_repo("other/one")
    with pytest.raises(HubError, match="names no repository"):
        prepare_repo("no/such/name")
    assert not hub.repos


def test_a_full_disk_a_missing_folder_and_faults_of_ours(hub: HubStandIn, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="HF_HOME"), translated_hub(REPO):
        raise OSError(28, "No space left on device")
    with pytest.raises(HubError, match="/gone cannot be used") as gone, translated_hub(REPO):
        raise FileNotFoundError(2, "No such file", "/gone")
    assert not gone.value.retryable
    with pytest.raises(HubError, match="holds no files"):
        push_folder(tmp_path / "gone", REPO, "one")
    with pytest.raises(TypeError), translated_hub(REPO):
        raise TypeError("ours")
    with pytest.raises(HubError, match=r"API returned errors.*correct"), translated_hub(REPO):
        raise ValueError("LFS batch API returned errors:\nlater")


# Uploading in the background -----------------------------------------------------------------------------------------


def test_checkpoints_go_up_in_order_and_adding_never_waits(hub: HubStandIn, tmp_path: Path) -> None:
    arrived, let_go = hub.hold("commit")
    heard = Heard()
    uploader = Uploader(REPO, journal=heard)
    folders = [write_checkpoint(tmp_path, step) for step in (200, 400, 600)]
    for step, folder in zip((200, 400, 600), folders, strict=True):
        uploader.add(folder, step)
    assert arrived.wait(PATIENCE_SECONDS)
    assert uploader.pending() == folders
    let_go.set()
    assert uploader.close() == []
    assert [commit.message.split()[-1] for commit in hub.repo(REPO).commits[1:]] == ["200", "400", "600"]
    assert [(event["step"], event["revision"]) for event in heard.events] == [
        (200, "step-000200"),
        (400, "step-000400"),
        (600, "step-000600"),
    ]
    assert missing_checkpoints(tmp_path, REPO) == []


def test_five_refusals_then_fine(hub: HubStandIn, tmp_path: Path) -> None:
    waits: list[float] = []
    heard = Heard()
    uploader = Uploader(REPO, journal=heard, sleep=waits.append)
    hub.fail("commit", 503, times=5)
    uploader.add(write_checkpoint(tmp_path, 200), 200)
    uploader.wait()
    assert uploader.close() == []
    assert len(waits) == 5
    assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(waits, start=1))
    assert [("error" in event, "retry_seconds" in event) for event in heard.events] == [(True, True)] * 5 + [
        (False, False)
    ]
    assert len(hub.repo(REPO).commits) == 2


@pytest.mark.parametrize("endpoint", ["create", "preupload", "lfs_batch", "lfs_upload", "commit", "refs", "tag"])
def test_a_connection_that_breaks_anywhere_ends_with_one_whole_checkpoint(
    hub: HubStandIn, tmp_path: Path, endpoint: str
) -> None:
    uploader = Uploader(REPO, sleep=lambda seconds: None)
    # The client tries some requests six times by itself.
    hub.fail(endpoint, DROP, times=7)
    folder = write_checkpoint(tmp_path, 200)
    uploader.add(folder, 200)
    uploader.wait()
    assert uploader.close() == []
    repo = hub.repo(REPO)
    assert without_git_files(repo.head.files) == content_of(folder)
    assert repo.tags == {folder.name: repo.head.oid}
    assert len(repo.commits) == 2


def test_a_refused_token_is_told_once_and_training_goes_on(hub: HubStandIn, tmp_path: Path) -> None:
    heard = Heard()
    waits: list[float] = []
    uploader = Uploader(REPO, journal=heard, sleep=waits.append)
    hub.fail("commit", 401)
    # Nor does the look at earlier checkpoints, which fails for the first and not for the second, take it again.
    hub.fail("refs", 503)
    first, second = write_checkpoint(tmp_path, 200), write_checkpoint(tmp_path, 400)
    write_checkpoint(tmp_path, 100)
    uploader.add(first, 200)
    uploader.wait()
    assert uploader.pending() == [first]
    uploader.add(second, 400)
    uploader.wait()
    assert uploader.close() == [first]
    assert sorted(hub.repo(REPO).tags) == ["step-000100", "step-000400"]
    assert waits == []
    assert [line for line in heard.lines if "refuses the token" in line] == [
        "step-000200 did not go up: The Hub refuses the token for someone/finance (401); set HF_TOKEN to a valid one "
        "(https://huggingface.co/settings/tokens)"
    ]
    assert [found.folder for found in missing_checkpoints(tmp_path, REPO)] == [first]


def test_a_hub_that_is_gone_for_good_loses_nothing(hub: HubStandIn, tmp_path: Path) -> None:
    heard = Heard()
    uploader = Uploader(REPO, journal=heard, keep=1, tries=4, sleep=lambda seconds: None)
    hub.stop()
    folders = [write_checkpoint(tmp_path, step) for step in (200, 400)]
    uploader.add(folders[0], 200)
    uploader.wait()
    uploader.add(folders[1], 400)
    uploader.wait()
    assert uploader.close() == folders
    assert all((folder / "training.json").is_file() for folder in folders)
    # The first had another four tries when the second came.
    assert [event["step"] for event in heard.events] == [200] * 8 + [400] * 4


def test_what_a_killed_process_left_goes_up_before_the_first_one(hub: HubStandIn, tmp_path: Path) -> None:
    folders = [write_checkpoint(tmp_path, step) for step in (200, 400, 600, 800)]
    push_folder(folders[0], REPO, "Checkpoint after step 200", tag=folders[0].name, replaces="training.json")
    heard = Heard()
    uploader = Uploader(REPO, journal=heard)
    # The first look at the Hub fails; the second checkpoint is another occasion.
    hub.fail("refs", 503)
    uploader.add(folders[2], 600)
    uploader.wait()
    assert sorted(hub.repo(REPO).tags) == ["step-000200", "step-000600"]
    assert "not known yet" in heard.lines[0]
    uploader.add(folders[3], 800)
    uploader.wait()
    assert uploader.close() == []
    assert sorted(hub.repo(REPO).tags) == [folder.name for folder in folders]
    assert [commit.message.split()[-1] for commit in hub.repo(REPO).commits[1:]] == ["200", "600", "400", "800"]


def test_a_checkpoint_that_waits_goes_up_before_the_next_one(hub: HubStandIn, tmp_path: Path) -> None:
    uploader = Uploader(REPO, tries=2, sleep=lambda seconds: None)
    hub.fail("commit", 503, times=2)
    folders = [write_checkpoint(tmp_path, step) for step in (200, 400)]
    uploader.add(folders[0], 200)
    uploader.wait()
    assert uploader.pending() == [folders[0]]
    uploader.add(folders[1], 400)
    uploader.wait()
    assert uploader.close() == []
    assert [commit.message.split()[-1] for commit in hub.repo(REPO).commits[1:]] == ["200", "400"]


def test_the_end_of_training_cuts_waits_short_and_gives_up_soon(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.upload._LAST_WAIT_SECONDS", 0.0)
    failed = threading.Event()

    class Watched(Heard):
        def note(self, event: str, step: int, **values: Any) -> None:
            super().note(event, step, **values)
            failed.set()

    heard = Watched()
    uploader = Uploader(REPO, journal=heard)
    hub.fail("create", 503, times=1_000, Retry_After="3600")
    folder = write_checkpoint(tmp_path, 200)
    uploader.add(folder, 200)
    assert failed.wait(PATIENCE_SECONDS)
    # It waits for an hour, as it was asked; the end wakes it, and it tries three times more.
    assert uploader.close(timeout=None) == [folder]
    assert [event.get("retry_seconds") for event in heard.events] == [3600.0] * 3 + [None]


def test_closing_returns_in_time_from_an_upload_that_hangs(hub: HubStandIn, tmp_path: Path) -> None:
    uploader = Uploader(REPO)
    arrived, let_go = hub.hold("commit")
    folder = write_checkpoint(tmp_path, 200)
    uploader.add(folder, 200)
    assert arrived.wait(PATIENCE_SECONDS)
    assert uploader.close(timeout=0.05) == [folder]
    let_go.set()


def test_an_absent_hub_at_the_start_is_told_and_a_wrong_name_refused(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubError, match="may not do this"):
        Uploader("other/finance")
    heard = Heard()
    hub.fail("create", 503)
    uploader = Uploader(REPO, journal=heard)
    assert "checkpoints go up later" in heard.lines[0]
    uploader.add(write_checkpoint(tmp_path, 200), 200)
    uploader.wait()
    assert uploader.close() == []
    connect(monkeypatch, hub, tmp_path / "home", token=None)
    with pytest.raises(HubError, match="HF_TOKEN"):
        Uploader(REPO)


def test_local_checkpoints_go_only_when_the_hub_has_them(hub: HubStandIn, tmp_path: Path) -> None:
    heard = Heard()
    lost = write_checkpoint(tmp_path, 100)
    uploader = Uploader(REPO, journal=heard, keep=2, sleep=lambda seconds: None)
    hub.fail("commit", 403)
    for step, folder in ((100, lost), *((step, write_checkpoint(tmp_path, step)) for step in (200, 300, 400))):
        uploader.add(folder, step)
        uploader.wait()
    assert uploader.close() == [lost]
    assert sorted(path.name for path in lost.parent.iterdir()) == ["step-000100", "step-000300", "step-000400"]


def test_a_tag_of_an_earlier_run_is_not_this_checkpoint(hub: HubStandIn, tmp_path: Path) -> None:
    old, new = write_checkpoint(tmp_path / "old", 200), write_checkpoint(tmp_path / "new", 200, content="other")
    push_folder(old, REPO, "old", tag=old.name, replaces="training.json")
    assert is_uploaded(old, REPO)
    assert not is_uploaded(new, REPO)
    push_folder(new, REPO, "new", tag=new.name, replaces="training.json")
    assert is_uploaded(new, REPO)
    assert not is_uploaded(old, REPO)


# Training with uploads -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of three steps over a tiny base, each with a checkpoint."""
    folder = tmp_path_factory.mktemp("training")
    tiny_base(folder / "tiny", tied=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tiny_rows(20)), encoding="utf-8")
    settings = {
        "base": {"model": str(folder / "tiny"), "quantization": "none"},
        "data": {"train": str(folder / "rows.jsonl"), "eval_rows": 4, "max_tokens": 256},
        "optim": {"name": "adamw", "learning_rate": 0.003, "max_steps": 3},
        "batch": {"tokens": 512},
        "run": {"save_every": 1, "log_every": 1, "hub_repo": REPO},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder / "config.yaml"


def train_it(config: Path, run: Path, *changes: str) -> list[float]:
    """Train, which must succeed; return the loss of each step."""
    words = [word for change in (f"run.output={run}", *changes) for word in ("--set", change)]
    assert finetune.main([str(config), *words]) == 0
    return [event["loss"] for event in read_journal(run) if event["event"] in ("step", "eval")]


@pytest.fixture(scope="module")
def losses(config: Path) -> list[float]:
    """The losses of a run without the Hub."""
    return train_it(config, config.parent / "alone", "run.hub_repo=''")


STEPS = ["step-000001", "step-000002", "step-000003"]


def test_training_goes_on_through_faults_of_the_hub(
    hub: HubStandIn, config: Path, losses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.upload.backoff_seconds", lambda tries, asked: 0.0)
    # Two tries of the first checkpoint fail: no more than are left to it where training ends before it is up.
    for endpoint, how, times in (("commit", 503, 1), ("lfs_upload", DROP, 3), ("tag", 500, 1)):
        hub.fail(endpoint, how, times)
    assert train_it(config, tmp_path / "run", "run.keep=1") == losses
    assert sorted(hub.repo(REPO).tags) == STEPS
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == STEPS[2:]
    uploads = [event for event in read_journal(tmp_path / "run") if event["event"] == "upload"]
    assert [event["revision"] for event in uploads if "revision" in event] == STEPS
    # The broken connections were passed by the client itself.
    assert len([event for event in uploads if "error" in event]) == 2


def test_a_hub_that_vanishes_costs_nothing_and_the_rest_is_sent_later(
    hub: HubStandIn,
    config: Path,
    losses: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("train.upload.backoff_seconds", lambda tries, asked: 0.0)
    saved = Trainer.save

    def save(trainer: Trainer) -> None:
        hub.stop()
        saved(trainer)

    monkeypatch.setattr(Trainer, "save", save)
    run = tmp_path / "run"
    assert train_it(config, run, "run.keep=1") == losses
    shown = capsys.readouterr()
    assert f"3 checkpoints are not on the Hub yet; python -m train.upload {run}" in shown.err
    assert WRITE_TOKEN not in shown.out + shown.err
    assert [found.folder.name for found in list_checkpoints(run)] == STEPS
    with HubStandIn() as later:
        connect(monkeypatch, later, tmp_path / "home")
        assert upload_main([str(run)]) == 0
        assert sorted(later.repo(REPO).tags) == STEPS
    assert [found.folder.name for found in list_checkpoints(run)] == STEPS


# The command ---------------------------------------------------------------------------------------------------------


def upload(hub: HubStandIn, home: Path, *arguments: str, token: str | None = WRITE_TOKEN) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "train.upload", *arguments],
        cwd=ROOT,
        env=child_environment(hub, home, token),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert WRITE_TOKEN not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_command_sends_what_a_killed_run_left(hub: HubStandIn, tmp_path: Path) -> None:
    folders = {step: write_checkpoint(tmp_path, step) for step in (200, 400, 600)}
    push_folder(folders[200], REPO, "first", tag="step-000200", replaces="training.json")
    # Killed between the commit and its tag: the tag alone counts.
    push_folder(folders[400], REPO, "second", replaces="training.json")
    (tmp_path / "checkpoints" / ".writing-000800").mkdir()
    code, out, err = upload(hub, tmp_path / "home", str(tmp_path))
    assert (code, [line.split("\t")[0] for line in out.splitlines()]) == (0, ["step-000400", "step-000600"]), err
    repo = hub.repo(REPO)
    assert sorted(repo.tags) == ["step-000200", "step-000400", "step-000600"]
    for step, folder in folders.items():
        commit = repo.at(f"step-{step:06d}")
        assert commit is not None
        assert without_git_files(commit.files) == content_of(folder)
    assert len(repo.commits) == 4
    code, out, err = upload(hub, tmp_path / "home", str(tmp_path))
    assert (code, out) == (0, "")
    assert "has all checkpoints" in err
    assert len(repo.commits) == 4


def test_the_command_leaves_the_newest_on_the_main_branch(hub: HubStandIn, tmp_path: Path) -> None:
    old, new = write_checkpoint(tmp_path, 200), write_checkpoint(tmp_path, 400)
    push_folder(new, REPO, "second", tag="step-000400", replaces="training.json")
    code, _, err = upload(hub, tmp_path / "home", str(tmp_path))
    assert code == 0, err
    repo = hub.repo(REPO)
    assert without_git_files(repo.head.files) == content_of(new)
    assert repo.tags["step-000400"] == repo.head.oid
    assert repo.at("step-000200").files["training.json"] == (old / "training.json").read_bytes()  # type: ignore[union-attr]


def test_the_command_says_in_one_line_what_is_wrong(hub: HubStandIn, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "run", 200)
    write_checkpoint(tmp_path / "unnamed", 200, repo="")
    for arguments, token, said in (
        ([str(tmp_path)], WRITE_TOKEN, "holds no checkpoints"),
        ([str(tmp_path / "unnamed")], WRITE_TOKEN, "--repo OWNER/NAME"),
        ([str(tmp_path / "run")], None, "HF_TOKEN"),
    ):
        code, out, err = upload(hub, tmp_path / "home", *arguments, token=token)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert said in err
        assert len(err.splitlines()) == 1


def test_a_run_goes_on_from_the_hub_where_its_machine_is_gone(
    hub: HubStandIn, config: Path, losses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def interrupted(self: Trainer, number: int) -> dict[str, float]:
        self.stop = number == 1
        return step(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        assert finetune.main([str(config), "--set", f"run.output={tmp_path / 'gone'}"]) == 130
    assert sorted(hub.repo(REPO).tags) == STEPS[:2]
    assert finetune.main([str(config), "--set", f"run.output={tmp_path / 'new'}", "--resume"]) == 0
    resumed = [event["loss"] for event in read_journal(tmp_path / "new") if event["event"] in ("step", "eval")]
    assert resumed == losses[-2:]
    assert sorted(hub.repo(REPO).tags) == STEPS


def test_resuming_what_never_began_begins_it(
    hub: HubStandIn, config: Path, losses: list[float], tmp_path: Path
) -> None:
    assert finetune.main([str(config), "--set", f"run.output={tmp_path / 'run'}", "--resume"]) == 0
    found = [event["loss"] for event in read_journal(tmp_path / "run") if event["event"] in ("step", "eval")]
    assert found == losses
