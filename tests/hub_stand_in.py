"""A small Hub on this machine: the endpoints that `huggingface_hub` calls, with faults by script.

Repositories, commits, branches, tags and large files are held in memory; a commit keeps every path of its root, so an
older revision stays readable. `fail(endpoint, ...)` lets the next answers of one endpoint go wrong, `hold(endpoint)`
stops them until they are let go. Large files go the plain way (LFS, basic transfer): xet must be off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from waiting import PATIENCE_SECONDS

__all__ = ["READ_TOKEN", "WRITE_TOKEN", "HubStandIn", "Repo", "child_environment", "connect"]

WRITE_TOKEN = "hf_" + "w" * 34
READ_TOKEN = "hf_" + "r" * 34
USER = "someone"
DROP = "drop"
_LARGE = (".safetensors", ".pt", ".bin", ".parquet")
# Endpoint by the method and path of a request; {repo} stands for owner/name.
_ROUTES = [
    (name, method, re.compile(pattern.replace("{repo}", r"(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)") + "$"))
    for name, method, pattern in (
        ("whoami", "GET", "/api/whoami-v2"),
        ("create", "POST", "/api/repos/create"),
        ("validate_yaml", "POST", "/api/validate-yaml"),
        ("preupload", "POST", "/api/{repo}/preupload/(?P<revision>[^/]+)"),
        ("commit", "POST", "/api/{repo}/commit/(?P<revision>[^/]+)"),
        ("paths_info", "POST", "/api/{repo}/paths-info/(?P<revision>[^/]+)"),
        ("tree", "GET", "/api/{repo}/tree/(?P<revision>[^/]+)"),
        ("refs", "GET", "/api/{repo}/refs"),
        ("tag", "POST", "/api/{repo}/tag/(?P<revision>[^/]+)"),
        ("untag", "DELETE", "/api/{repo}/tag/(?P<tag>[^/]+)"),
        ("info", "GET", "/api/{repo}(?:/revision/(?P<revision>[^/]+))?"),
        ("lfs_batch", "POST", r"/(?P<prefix>datasets/)?(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
        ("lfs_upload", "PUT", "/lfs/(?P<oid>[0-9a-f]{64})"),
        ("lfs_download", "GET", "/lfs/(?P<oid>[0-9a-f]{64})"),
        ("resolve", "GET", "/(?P<prefix>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
    )
]
# What each endpoint asks of a token: these need one that may write.
_WRITES = {"create", "preupload", "commit", "tag", "untag", "lfs_batch"}
_OPEN = {"lfs_upload", "lfs_download", "validate_yaml"}


@dataclass
class Commit:
    """A state of the root: content by path."""

    oid: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A repository with its history, oldest first."""

    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def add(self, message: str, files: dict[str, bytes]) -> Commit:
        digest = hashlib.sha1(f"{len(self.commits)}{message}{sorted(files)}".encode(), usedforsecurity=False)
        self.commits.append(Commit(digest.hexdigest(), message, files))
        return self.head

    def at(self, revision: str | None) -> Commit | None:
        """Return a commit by branch, tag or id, None where there is none."""
        oid = self.head.oid if revision in (None, "main") else self.tags.get(revision or "", revision)
        return next((commit for commit in self.commits if commit.oid == oid), None)


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **headers}


@dataclass
class _Fault:
    how: int | str
    times: int
    headers: dict[str, str]


class HubStandIn:
    """The server; a context manager. `asked` lists (endpoint, repository) of every request in order."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self._faults: dict[str, list[_Fault]] = {}
        self._held: dict[str, tuple[threading.Event, threading.Event]] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._running = False

    def __enter__(self) -> HubStandIn:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self._running = True
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away: connections are refused from now on."""
        for _, let_go in self._held.values():
            let_go.set()
        if self._running:
            self._server.shutdown()
            self._server.server_close()
            self._running = False

    def add_repo(
        self,
        name: str,
        files: Mapping[str, bytes] | None = None,
        kind: str = "model",
        *,
        private: bool = False,
        gated: bool = False,
    ) -> Repo:
        """Add a repository as if someone had uploaded `files` at once."""
        repo = self.repos[kind + "s", name] = Repo(private, gated)
        repo.add("initial commit", {".gitattributes": b"*.safetensors filter=lfs\n", **(files or {})})
        return repo

    def repo(self, name: str, kind: str = "model") -> Repo:
        return self.repos[kind + "s", name]

    def fail(self, endpoint: str, how: int | str, times: int = 1, **headers: str) -> None:
        """Answer the next `times` requests with a status, or break the connection half-way (`DROP`)."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self._faults.setdefault(endpoint, []).append(_Fault(how, times, named))

    def hold(self, endpoint: str) -> tuple[threading.Event, threading.Event]:
        """Hold the endpoint's answers; return (one has arrived, let them go)."""
        self._held[endpoint] = (threading.Event(), threading.Event())
        return self._held[endpoint]

    def count(self, endpoint: str) -> int:
        """Return how often the endpoint was asked."""
        return sum(1 for name, _ in self.asked if name == endpoint)

    def next_fault(self, endpoint: str) -> _Fault | None:
        with self.lock:
            left = [fault for fault in self._faults.get(endpoint, []) if fault.times > 0]
            if left:
                left[0].times -= 1
            return left[0] if left else None

    def wait_where_held(self, endpoint: str) -> None:
        if endpoint in self._held:
            arrived, let_go = self._held[endpoint]
            arrived.set()
            let_go.wait(PATIENCE_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    hub: HubStandIn

    def do_HEAD(self) -> None:
        self._serve("GET")

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def _serve(self, method: str) -> None:
        path = urlsplit(self.path).path
        matches = ((name, pattern.match(path)) for name, wanted, pattern in _ROUTES if wanted == method)
        name, match = next(((name, match) for name, match in matches if match), ("", None))
        if match is None:
            self._body()
            self._send(404, b"no such endpoint", {})
            return
        found = {key: unquote(value) for key, value in match.groupdict().items() if value}
        self.hub.asked.append((name, found.get("repo", "")))
        fault = self.hub.next_fault(name)
        if fault is not None and fault.how == DROP:
            self._drop()
            return
        body = self._body()
        self.hub.wait_where_held(name)
        if fault is not None and isinstance(fault.how, int):
            message = json.dumps({"error": f"scripted {fault.how}"}).encode()
            self._send(fault.how, message, {"Content-Type": "application/json", **fault.headers})
            return
        try:
            with self.hub.lock:
                self._authorise(name, found)
                answer: Callable[..., None] = getattr(self, f"_{name}")
                answer(found, body)
        except Refusal as error:
            self._json({"error": error.message}, error.status, error.headers)

    # Requests and answers ------------------------------------------------------------------------------------------

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _drop(self) -> None:
        """Break the connection in the middle of what the client sends."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        # No lingering: the client sees a reset, not an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _authorise(self, name: str, found: dict[str, str]) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if name in _OPEN:
            return
        if token and token not in (WRITE_TOKEN, READ_TOKEN):
            raise Refusal(401, "Invalid credentials in Authorization header")
        repo = self.hub.repos.get(self._key(found)) if "repo" in found else None
        if "repo" in found and (repo is None or (repo.private and not token)):
            raise Refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        if repo is not None and repo.gated and name in ("resolve", "tree"):
            raise Refusal(403, "Access to this model is restricted", "GatedRepo")
        owner = found.get("repo", USER).split("/")[0]
        if (name in _WRITES and (token != WRITE_TOKEN or owner != USER)) or (name == "whoami" and not token):
            raise Refusal(403 if token else 401, "You don't have the required permissions")

    def _key(self, found: dict[str, str]) -> tuple[str, str]:
        return found.get("kind") or ("datasets" if found.get("prefix") else "models"), found["repo"]

    def _repo(self, found: dict[str, str]) -> Repo:
        return self.hub.repos[self._key(found)]

    def _commit_of(self, found: dict[str, str]) -> Commit:
        commit = self._repo(found).at(found.get("revision"))
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {found.get('revision')}", "RevisionNotFound")
        return commit

    # Endpoints, named as in _ROUTES --------------------------------------------------------------------------------

    def _whoami(self, found: dict[str, str], body: bytes) -> None:
        self._json({"name": USER, "type": "user", "auth": {"accessToken": {"role": "write"}}})

    def _create(self, found: dict[str, str], body: bytes) -> None:
        wanted = json.loads(body)
        name, kind = f"{wanted['organization'] or USER}/{wanted['name']}", wanted.get("type") or "model"
        url = f"{self.hub.url}/{name}"
        if not name.startswith(USER + "/"):
            raise Refusal(403, f"You don't have the rights to create a {kind} under the namespace {name.split('/')[0]}")
        if (kind + "s", name) in self.hub.repos:
            self._json({"error": "You already created this repo", "url": url}, 409)
            return
        self.hub.add_repo(name, kind=kind, private=wanted.get("visibility") == "private")
        self._json({"url": url, "name": name})

    def _validate_yaml(self, found: dict[str, str], body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def _preupload(self, found: dict[str, str], body: bytes) -> None:
        files = self._commit_of(found).files
        self._json({"files": [_upload_mode(item["path"], files) for item in json.loads(body)["files"]]})

    def _lfs_batch(self, found: dict[str, str], body: bytes) -> None:
        objects = []
        for item in json.loads(body)["objects"]:
            upload = {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}}
            objects.append({**item, **({} if item["oid"] in self.hub.large else upload)})
        self._json({"transfer": "basic", "objects": objects})

    def _lfs_upload(self, found: dict[str, str], body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != found["oid"]:
            raise Refusal(400, "The content is not what its id says")
        self.hub.large[found["oid"]] = body
        self._send(200, b"", {})

    def _lfs_download(self, found: dict[str, str], body: bytes) -> None:
        content = self.hub.large[found["oid"]]
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        part = content[int(start[1]) :] if start else content
        self._send(206 if start else 200, part, {})

    def _commit(self, found: dict[str, str], body: bytes) -> None:
        parent = self._commit_of(found)
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, parent.oid):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(parent.files)
        for line in lines:
            self._apply(files, line["key"], line["value"])
        commit = self._repo(found).add(header["summary"], files)
        self._json({"commitOid": commit.oid, "commitUrl": f"{self.hub.url}/{found['repo']}/commit/{commit.oid}"})

    def _apply(self, files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in self.hub.large:
                raise Refusal(422, f"{value['path']}: its content was never uploaded")
            files[value["path"]] = self.hub.large[value["oid"]]
        elif key == "deletedFile" and files.pop(value["path"], None) is None:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")

    def _info(self, found: dict[str, str], body: bytes) -> None:
        repo, commit = self._repo(found), self._commit_of(found)
        files = [{"rfilename": path} for path in commit.files]
        facts = {"private": repo.private, "gated": repo.gated, "tags": [], "downloads": 0, "likes": 0}
        self._json({"id": found["repo"], "sha": commit.oid, "siblings": files, **facts})

    def _tree(self, found: dict[str, str], body: bytes) -> None:
        self._json([_entry(path, content) for path, content in self._commit_of(found).files.items()])

    def _paths_info(self, found: dict[str, str], body: bytes) -> None:
        files = self._commit_of(found).files
        wanted = parse_qs(body.decode())["paths"]
        self._json([_entry(path, files[path]) for path in wanted if path in files])

    def _refs(self, found: dict[str, str], body: bytes) -> None:
        repo = self._repo(found)
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.oid}]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in repo.tags.items()]
        self._json({"branches": branches, "converts": [], "tags": tags})

    def _tag(self, found: dict[str, str], body: bytes) -> None:
        name, tags = json.loads(body)["tag"], self._repo(found).tags
        if name in tags:
            raise Refusal(409, f"Tag {name} already exists")
        tags[name] = self._commit_of(found).oid
        self._json({})

    def _untag(self, found: dict[str, str], body: bytes) -> None:
        if self._repo(found).tags.pop(found["tag"], None) is None:
            raise Refusal(404, f"No tag {found['tag']}", "RevisionNotFound")
        self._json({})

    def _resolve(self, found: dict[str, str], body: bytes) -> None:
        commit = self._commit_of(found)
        content = commit.files.get(found["path"])
        if content is None:
            raise Refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit.oid})
        if not found["path"].endswith(_LARGE):
            self._send(200, content, {"ETag": f'"{_git_id(content)}"', "X-Repo-Commit": commit.oid})
            return
        oid = hashlib.sha256(content).hexdigest()
        self.hub.large.setdefault(oid, content)
        linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content)), "X-Repo-Commit": commit.oid}
        # The Hub sends to another host, where no token goes.
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        self._send(302, b"", {"Location": f"{elsewhere}/lfs/{oid}", "ETag": f'"{oid}"', **linked})


def _git_id(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def _upload_mode(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    large = path.endswith(_LARGE)
    known = files.get(path)
    oid = None if known is None else hashlib.sha256(known).hexdigest() if large else _git_id(known)
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_id(content)}
    if path.endswith(_LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def child_environment(hub: HubStandIn, home: Path, token: str | None = WRITE_TOKEN) -> dict[str, str]:
    """Return the environment of a child process that knows no Hub but this one and keeps its cache in `home`."""
    kept = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    ours = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**kept, **ours, **({"HF_TOKEN": token} if token else {})}


def connect(monkeypatch: pytest.MonkeyPatch, hub: HubStandIn, home: Path, token: str | None = WRITE_TOKEN) -> None:
    """Let this process know no Hub but this one: `huggingface_hub` read its settings when it was imported."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
