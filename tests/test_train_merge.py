"""Merging: bitwise what PEFT gives for the whole model, proved, refused where it is not, done once."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_stand_in import HubStandIn, connect
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from train_checkpoints import make_run, write_rows
from train_models import embedded_folder, tiny_base

from rag_core import RagConfig, RagPipeline
from train import merge, terminal
from train.base import load_base
from train.checkpoint import Checkpoint
from train.devices import gate_dtype
from train.encoding import Encoder, Example
from train.equivalence import Figures, Limits, chosen_examples, compare, load_strictly, reference
from train.errors import BaseModelError, CheckpointError, DiskError, EquivalenceError, HubError, SettingsError
from train.heads import HEAD_FILE, HEAD_KEY, LEGACY_HEAD_FILE, head_of, load_head, untie
from train.hub import push_folder
from train.manifest import MANIFEST
from train.merged import Merged, MergeRequest, merge_run
from train.merging import Merger
from train.proving import prove
from train.rounding import prove_weights
from train.rows import read_rows
from train.selecting import UNKNOWN_PROMPT, select_checkpoint
from train.weightfiles import base_tensors, written

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
Q_PROJ = "model.layers.1.self_attn.q_proj.weight"
MLP = "model.layers.0.mlp.down_proj.weight"


def silent(_: str) -> None:
    pass


@pytest.fixture(autouse=True, scope="module")
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Made:
    """A run with one checkpoint, merged."""

    base: Path
    run: Path
    merged: Path
    outcome: Merged

    @property
    def checkpoint(self) -> Checkpoint:
        return select_checkpoint(str(self.run), "last")

    def request(self, **changes: Any) -> MergeRequest:
        # Shards of 4 MB: three of them.
        return replace(MergeRequest(str(self.run), positions=40, device="cpu", shard_bytes=4_000_000), **changes)

    def tensors(self, folder: Path | None = None) -> dict[str, torch.Tensor]:
        return {
            name: tensor
            for path in sorted((folder or self.merged).glob("*.safetensors"))
            for name, tensor in load_file(str(path)).items()
        }

    def examples(self) -> tuple[Example, ...]:
        encoder = Encoder(self.base, str(self.checkpoint.base["model"]))
        return chosen_examples((encoder.encode(row, 256) for row in read_rows(str(self.run / "rows.jsonl"))), 40)


def make(folder: Path, base: Path, **options: Any) -> Made:
    run = make_run(folder / "run", str(base), **options)
    made = Made(base, run, Path(), Merged(Path(), {}, fresh=True))
    outcome = merge_run(made.request(), silent)
    return replace(made, merged=outcome.folder, outcome=outcome)


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("mistral")
    # Strong enough that losing any of it shows in the predictions too.
    return make(folder, tiny_base(folder / "base"), strength=1.0, head_shift=3.0)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("tied")
    return make(folder, tiny_base(folder / "base", tied=True, kind="llama"), strength=1.0, head_shift=3.0)


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("headless")
    return make(folder, tiny_base(folder / "base", tied=True, kind="llama"), head=False, strength=1.0)


@pytest.fixture(params=["mistral", "tied", "headless"])
def made(request: pytest.FixtureRequest) -> Made:
    found: Made = request.getfixturevalue(request.param)
    return found


def copied(made: Made, folder: Path) -> Made:
    """The same run and its merge in folders that a test may damage."""
    shutil.copytree(made.run, folder / "run")
    return replace(made, run=folder / "run", merged=folder / "run" / made.merged.relative_to(made.run))


def rewritten(folder: Path, change: Any) -> None:
    """Apply `change` to the tensors of each shard of a merged folder."""
    for path in folder.glob("*.safetensors"):
        tensors = load_file(str(path))
        change(tensors)
        save_file(tensors, str(path), metadata={"format": "pt"})


# What comes out


def whole_merge(made: Made) -> dict[str, torch.Tensor]:
    """The merge in one piece, by PEFT alone, rounded."""
    from peft import PeftModel

    base = load_base(made.base, torch.float32, CPU)
    head = load_head(made.checkpoint.folder, tuple(base.lm_head.weight.shape))
    if head is not None:
        untie(base)
        base.lm_head.weight = torch.nn.Parameter(head.float())
    merged = PeftModel.from_pretrained(base, str(made.checkpoint.folder)).merge_and_unload()
    return {name: tensor.to(torch.bfloat16) for name, tensor in merged.state_dict().items()}


def test_the_merge_is_bit_for_bit_that_of_the_whole_model(made: Made):
    expected, found = whole_merge(made), made.tensors()
    still_tied = not made.checkpoint.has_head
    assert found.keys() == expected.keys() - ({HEAD_KEY} if still_tied else set())
    for name, tensor in found.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, expected[name]), name
    base = load_base(made.base, torch.float32, CPU).state_dict()
    assert not torch.equal(found[Q_PROJ], base[Q_PROJ].bfloat16())
    assert torch.equal(found["model.embed_tokens.weight"], base["model.embed_tokens.weight"].bfloat16())
    assert still_tied or not torch.equal(found[HEAD_KEY], base[HEAD_KEY].bfloat16())


def test_the_folder_is_what_others_read(made: Made):
    files = {path.name for path in made.merged.iterdir()}
    assert {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "README.md"} <= files
    index = json.loads((made.merged / "model.safetensors.index.json").read_text(encoding="utf-8"))
    stored = {name: path.name for path in made.merged.glob("*.safetensors") for name in load_file(str(path))}
    assert index["weight_map"] == stored
    assert len(set(stored.values())) > 1
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in made.tensors().values())
    config = json.loads((made.merged / "config.json").read_text(encoding="utf-8"))
    assert config["tie_word_embeddings"] is not made.checkpoint.has_head
    assert config["dtype"] == "bfloat16"


def test_pad_is_not_the_end_of_a_turn(made: Made):
    from transformers import AutoTokenizer, GenerationConfig

    # SmolLM2's own tokenizer pads with the end of a turn.
    assert AutoTokenizer.from_pretrained(str(made.base)).pad_token_id == 2
    tokenizer = AutoTokenizer.from_pretrained(str(made.merged))
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 2)
    assert GenerationConfig.from_pretrained(str(made.merged)).pad_token_id == 0
    # The prompt is the one of the base to the last token.
    row = read_rows(str(made.run / "rows.jsonl"))[1]
    name = str(made.checkpoint.base["model"])
    assert Encoder(made.merged, name).encode(row).ids == Encoder(made.base, name).encode(row).ids


def test_the_card_is_valid_and_tells_the_figures(made: Made):
    from huggingface_hub import ModelCard

    card = ModelCard.load(made.merged / "README.md")
    front = card.data.to_dict()
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "transformers"
    assert "base_model" not in front  # a folder is no id on the Hub
    assert f"{made.outcome.gate['merged']['mean_kl']:.3g}" in card.text
    assert "| loss | 2.0500 |" in card.text
    assert "prompt version 1" in card.text
    assert str(made.run.parent) not in card.content


def test_a_base_from_the_hub_is_named_on_the_card(mistral: Made, tmp_path: Path):
    from train.card import GateResult, model_card

    settings = mistral.checkpoint.settings
    settings = replace(
        settings,
        base=replace(settings.base, model="mistralai/Mistral-7B-Instruct-v0.1"),
        data=replace(settings.data, train="gbharti/finance-alpaca"),
    )
    figures = Figures.from_dict(mistral.outcome.gate["merged"])
    gate = GateResult(figures, figures, figures, 0.5, "float32", Limits())
    text = model_card(replace(mistral.checkpoint, settings=settings), gate, "bfloat16", has_head=True, repo="me/it")
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    from huggingface_hub import ModelCard

    front = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert front["base_model"] == "mistralai/Mistral-7B-Instruct-v0.1"
    assert front["datasets"] == ["gbharti/finance-alpaca"]
    assert "4-bit model" in text


def test_float32_output_keeps_every_bit(tied: Made, tmp_path: Path):
    merger = Merger(tied.base, tied.checkpoint)
    merger.write(tmp_path, "float32", 1 << 30, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    shutil.copy(tied.merged / "config.json", tmp_path)
    assert prove_weights(tmp_path, merger, torch.float32, silent) <= 1.0
    found = tied.tensors(tmp_path)
    assert torch.equal(found[HEAD_KEY], load_file(str(tied.checkpoint.folder / HEAD_FILE))[HEAD_KEY])


def test_what_float16_cannot_hold_is_told(mistral: Made, tmp_path: Path):
    own = copied(mistral, tmp_path)
    head = load_file(str(own.checkpoint.folder / HEAD_FILE))
    head[HEAD_KEY][0, 0] = 1e6
    save_file(head, str(own.checkpoint.folder / HEAD_FILE))
    with pytest.raises(CheckpointError, match="--dtype bfloat16"):
        merge_run(own.request(dtype="float16", output=tmp_path / "out"), silent)
    assert not any(path.name.startswith((".merging", "out")) for path in tmp_path.iterdir())


# The gate


def test_the_gate_passes_what_is_equal(made: Made):
    gate = made.outcome.gate
    figures = Figures.from_dict(gate["merged"])
    figures.require(Limits())
    assert figures.positions > 40
    assert figures.answer_tokens > 0
    assert 0 < gate["worst_weight"] <= 1.0
    # The rounding is far smaller than what training did; else the figures would prove nothing.
    assert figures.mean_kl < gate["trained"]["mean_kl"] / 20
    assert gate["trained"]["mean_kl"] > Limits().mean_kl
    assert gate["quantized"] is None


def test_a_training_that_rounding_swallows_is_told(mistral: Made, tmp_path: Path):
    run = make_run(tmp_path / "run", str(mistral.base), strength=0.0, head_shift=1e-4)
    said: list[str] = []
    merge_run(mistral.request(run=str(run)), said.append)
    assert any("--dtype float32" in line for line in said)


def drop_head(made: Made) -> None:
    """Leave the trained head out: the base's stands there."""
    name, tensors = HEAD_KEY, base_tensors(made.base)
    source = name if name in tensors else "model.embed_tokens.weight"
    start = load_file(str(tensors[source][0]))[source].bfloat16()
    rewritten(made.merged, lambda found: found.update({name: start}) if name in found else None)


def scale_wrongly(made: Made) -> None:
    """Merge with alpha doubled, as a config of another run would have it."""
    other = made.run.parent / "other"
    shutil.copytree(made.checkpoint.folder, other)
    path = other / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "lora_alpha": 2 * config["lora_alpha"]}), encoding="utf-8")
    Merger(made.base, select_checkpoint(str(other), "last")).write(made.merged, "bfloat16", 4_000_000, silent)


def corrupt(name: str, by: float) -> Any:
    """Change one weight of the tensor of that name."""

    def change(found: dict[str, torch.Tensor]) -> None:
        if name in found:
            found[name][1, 2] += by

    return lambda made: rewritten(made.merged, change)


def drop_tensor(made: Made) -> None:
    rewritten(made.merged, lambda found: found.pop(MLP, None))


def add_tensor(made: Made) -> None:
    rewritten(made.merged, lambda found: found.update({"extra.weight": torch.ones(2)}) if MLP in found else None)


def tie_in_config(made: Made) -> None:
    path = made.merged / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "tie_word_embeddings": True}), encoding="utf-8")


def tie_again(made: Made) -> None:
    """What saving a model that ties its weights leaves: no head in the files."""
    tie_in_config(made)
    rewritten(made.merged, lambda found: found.pop(HEAD_KEY, None))


def move_embeddings(made: Made) -> None:
    """Write the trained head into the embeddings too, as a careless untying does."""
    head = made.tensors()[HEAD_KEY]
    name = "model.embed_tokens.weight"
    rewritten(made.merged, lambda found: found.update({name: head.clone()}) if name in found else None)


DAMAGE = [
    (drop_head, "the head is the base's"),
    (scale_wrongly, "is not base"),
    (corrupt(Q_PROJ, 0.01), "q_proj.weight is not base"),
    (corrupt(MLP, 0.01), "down_proj.weight is not what it was"),
    (drop_tensor, "down_proj.weight is missing"),
    (add_tensor, "extra.weight is left over"),
    (tie_in_config, "tied to the embeddings again"),
    (tie_again, "lm_head.weight is missing"),
    (move_embeddings, "embed_tokens.weight is not what it was"),
]
NAMES = ["no-head", "scale", "adapted", "untouched", "missing", "extra", "config-tied", "tied-again", "embeddings"]


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=NAMES)
@pytest.mark.parametrize("kind", ["mistral", "tied"])
def test_the_gate_fails_what_is_not_equal(
    kind: str, damage: Any, said: str, tmp_path: Path, request: pytest.FixtureRequest
):
    own = copied(request.getfixturevalue(kind), tmp_path)
    damage(own)
    merger = Merger(own.base, own.checkpoint)
    with pytest.raises(EquivalenceError, match=said):
        prove(own.request(), own.base, merger, own.examples(), own.merged, silent)


@pytest.mark.parametrize("damage", [drop_head, scale_wrongly, move_embeddings], ids=["no-head", "scale", "embeddings"])
def test_predictions_alone_tell_too(tied: Made, damage: Any, tmp_path: Path):
    """Should the proof of weights and the merge share a mistake, what the model says still counts."""
    own = copied(tied, tmp_path)
    damage(own)
    found, _ = reference(own.base, own.checkpoint, own.examples(), torch.float32, CPU)
    model = load_strictly(own.merged, torch.float32, CPU, untied=True)
    with pytest.raises(EquivalenceError, match="does not predict as the trained one does"):
        compare(model, found, CPU).require(Limits())


def test_a_tensor_too_many_or_too_few_does_not_load(mistral: Made, tmp_path: Path):
    for damage, said in ((drop_tensor, "missing keys"), (add_tensor, "unexpected keys")):
        own = copied(mistral, tmp_path / said)
        damage(own)
        with pytest.raises(EquivalenceError, match=said):
            load_strictly(own.merged, torch.float32, CPU, untied=True)


def test_predictions_that_are_not_numbers_fail():
    nothing = float("nan")
    figures = Figures(10, 5, nothing, nothing, 1.0, 5, 1.0, 2.0, nothing)
    with pytest.raises(EquivalenceError, match="mean KL"):
        figures.require(Limits())


def test_what_fails_is_set_aside_and_not_pushed(mistral: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    output = tmp_path / "out-135m"
    with HubStandIn() as hub:
        connect(monkeypatch, hub, tmp_path / "home")
        words = [str(mistral.run), "--positions", "40", "--device", "cpu", "--output", str(output)]
        code = terminal.run(merge.main, [*words, "--push", "someone/finance", "--limit-mean-kl", "0"])
        assert code == 1
        assert hub.count("commit") == 0
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: The merged model does not predict as the trained one does: mean KL")
    assert str(tmp_path / "out-135m.rejected") in error
    assert not output.exists()
    assert (tmp_path / "out-135m.rejected" / "config.json").is_file()
    assert not (tmp_path / "out-135m.rejected" / MANIFEST).exists()


# Once, whole, or not at all


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_twice_does_nothing_twice(tied: Made):
    before = stamps(tied.merged)
    again = merge_run(tied.request(), silent)
    assert not again.fresh
    assert again.gate == tied.outcome.gate
    assert stamps(tied.merged) == before
    # What passed under other limits is judged anew.
    with pytest.raises(EquivalenceError):
        merge_run(tied.request(limits=Limits(mean_kl=0.0)), silent)


def test_what_changed_is_made_anew(tied: Made, tmp_path: Path):
    own = copied(tied, tmp_path)
    assert not merge_run(own.request(), silent).fresh
    good = {name: tensor.clone() for name, tensor in own.tensors().items()}
    shard = sorted(own.merged.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-2] + b"\0\0")
    assert merge_run(own.request(), silent).fresh
    assert all(torch.equal(tensor, good[name]) for name, tensor in own.tensors().items())
    adapter = own.checkpoint.folder / "adapter_model.safetensors"
    save_file({name: 0.5 * tensor for name, tensor in load_file(str(adapter)).items()}, str(adapter))
    assert merge_run(own.request(), silent).fresh
    assert not torch.equal(own.tensors()[Q_PROJ], good[Q_PROJ])


_KILLED = """
import os, signal, sys
from train.merged import MergeRequest, merge_run

def end(text):
    if text.startswith("merging: shard 3"):
        os.kill(os.getpid(), signal.SIGKILL)

merge_run(MergeRequest(sys.argv[1], positions=40, device="cpu", shard_bytes=4_000_000), end)
"""


def test_killed_half_way_leaves_nothing_taken_for_whole(tied: Made, tmp_path: Path):
    own = copied(tied, tmp_path)
    shutil.rmtree(own.merged)
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(own.run)], cwd=ROOT, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not own.merged.exists()
    left = own.merged.parent / f".merging-{own.merged.name}"
    assert len(list(left.glob("*.safetensors"))) == 2
    again = merge_run(own.request(), silent)
    assert again.fresh
    assert not left.exists()
    assert own.tensors().keys() == tied.tensors().keys()


def test_a_folder_of_someone_else_is_left_alone(mistral: Made, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("text", encoding="utf-8")
    with pytest.raises(DiskError, match="something else"):
        merge_run(mistral.request(output=tmp_path / "mine"), silent)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_too_little_room_is_told_before_the_work(mistral: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(DiskError, match=r"takes 0\.1 GB"):
        merge_run(mistral.request(output=tmp_path / "out-135m"), silent)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # As safetensors 0.8 said it on a file system of 1 MB.
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["system", "safetensors"],
)
def test_a_disk_that_fills_up_is_told(error: Exception):
    with pytest.raises(DiskError, match="is full") as raised, written(Path("folder")):
        raise error
    assert raised.value.__cause__ is error


def test_a_folder_that_cannot_be_written_is_told(mistral: Made, tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DiskError, match="--output"):
        merge_run(mistral.request(output=tmp_path / "file" / "out-135m"), silent)


# What is refused


def test_a_quantised_base_is_refused(mistral: Made, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(mistral.base, base)
    path = base / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "quantization_config": {"quant_method": "bitsandbytes"}}), encoding="utf-8")
    with pytest.raises(BaseModelError, match="full precision"):
        merge_run(mistral.request(base=str(base), output=tmp_path / "out-135m"), silent)
    path.write_text(json.dumps(config), encoding="utf-8")
    stored = load_file(str(base / "model.safetensors"))
    save_file({**stored, MLP: stored[MLP].to(torch.int8)}, str(base / "model.safetensors"))
    with pytest.raises(BaseModelError, match="I8 weights"):
        merge_run(mistral.request(base=str(base), output=tmp_path / "out-135m"), silent)
    assert not (tmp_path / "out-135m").exists()


def test_another_base_is_refused(mistral: Made, tied: Made, tmp_path: Path):
    with pytest.raises(CheckpointError, match="name the same base"):
        merge_run(mistral.request(base=str(tied.base), output=tmp_path / "out-135m"), silent)
    # Facts may lie; the shapes do not.
    unknown = replace(mistral.checkpoint, base={"model": "x"})
    with pytest.raises(CheckpointError, match="the base's head"):
        Merger(tiny_other(tmp_path / "other"), unknown)


def tiny_other(folder: Path) -> Path:
    """A base of the same kind with another width."""
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    MistralForCausalLM(MistralConfig(vocab_size=100, num_key_value_heads=2, **sizes)).save_pretrained(str(folder))
    return folder


def test_a_base_that_is_not_whole_is_refused(mistral: Made, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(mistral.base, base)
    stored = load_file(str(base / "model.safetensors"))
    for change, said in (
        ({name: tensor for name, tensor in stored.items() if name != MLP}, "down_proj.weight is missing"),
        ({**stored, "model.odd.weight": torch.ones(2)}, "odd.weight is no weight"),
        ({**stored, MLP: torch.ones(2, 3)}, r"\(2, 3\)"),
    ):
        save_file(change, str(base / "model.safetensors"))
        with pytest.raises(BaseModelError, match=said):
            Merger(base, mistral.checkpoint)
    (base / "model.safetensors").write_bytes(b"12")
    with pytest.raises(BaseModelError, match="not whole"):
        Merger(base, mistral.checkpoint)
    (base / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match="safetensors file"):
        Merger(base, mistral.checkpoint)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"use_rslora": True}, "use_rslora"),
        ({"bias": "all"}, "bias all"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"r": 0}, "not merged|damaged"),
        ({"r": 4}, "does not fit"),
        ({"target_modules": ["q_proj"]}, "does not fit"),
        ({"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"]}, "does not fit"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_an_adapter_that_is_not_ours_is_refused(mistral: Made, tmp_path: Path, change: dict[str, Any], said: str):
    own = copied(mistral, tmp_path)
    path = own.checkpoint.folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **change}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=said) as raised:
        Merger(own.base, own.checkpoint)
    assert "\n" not in str(raised.value)


def test_a_broken_adapter_or_a_lost_head_is_refused(mistral: Made, tmp_path: Path):
    own = copied(mistral, tmp_path)
    adapter = own.checkpoint.folder / "adapter_model.safetensors"
    stored = load_file(str(adapter))
    name = next(iter(stored))
    save_file({**stored, name: torch.full_like(stored[name], float("nan"))}, str(adapter))
    with pytest.raises(CheckpointError, match="not finite"):
        Merger(own.base, own.checkpoint).write(tmp_path, "bfloat16", 1 << 30, silent)
    save_file(stored, str(adapter))
    (own.checkpoint.folder / HEAD_FILE).unlink()
    with pytest.raises(CheckpointError, match="holds none"):
        Merger(own.base, own.checkpoint)


def test_wrong_words_end_in_one_line(mistral: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(mistral.run)
    for words, said in (
        ([str(tmp_path / "nothing")], "name a run or a checkpoint"),
        ([str(tmp_path)], "holds no checkpoints"),
        ([run, "--checkpoint", "7"], "it has 20"),
        ([run, "--checkpoint", "newest"], "best or last"),
        ([run, "--base", str(tmp_path)], "config.json"),
        ([run, "--text", str(tmp_path / "no.jsonl"), "--output", str(tmp_path / "o")], "--text"),
        ([run, "--device", "abacus"], "auto, cpu or cuda"),
    ):
        assert terminal.run(merge.main, words) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.splitlines()[-1].startswith("error: ")
        assert said in captured.err.splitlines()[-1]
    with pytest.raises(SystemExit, match="2"):
        merge.main([run, "--positions", "0"])


# Which checkpoint


def test_the_best_checkpoint_has_the_least_loss(mistral: Made, tmp_path: Path):
    own = copied(mistral, tmp_path)
    for step, loss in ((30, 1.5), (40, 1.7)):
        folder = own.run / "checkpoints" / f"step-{step:06d}"
        shutil.copytree(own.run / "checkpoints" / "step-000020", folder)
        details = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        details.update(step=step, scores={"loss": loss})
        (folder / "training.json").write_text(json.dumps(details), encoding="utf-8")
    run = str(own.run)
    steps = [select_checkpoint(run, wanted).step for wanted in ("best", "last", "20")]
    assert steps == [30, 40, 20]
    assert select_checkpoint(str(own.run / "checkpoints" / "step-000040"), "best").step == 40
    with pytest.raises(SettingsError):
        select_checkpoint(run, "first")


def test_an_old_notebooks_folder_is_merged(mistral: Made, tmp_path: Path):
    """An adapter and a pickled head, and nothing that says what they were trained with."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(mistral.checkpoint.folder / name, folder / name)
    head = load_file(str(mistral.checkpoint.folder / HEAD_FILE))[HEAD_KEY]
    torch.save({"weight": head}, folder / LEGACY_HEAD_FILE)
    found = select_checkpoint(str(folder), "best")
    assert (found.step, found.prompt_version, found.has_head) == (0, UNKNOWN_PROMPT, True)
    text = str(write_rows(tmp_path / "rows.jsonl", 4))
    outcome = merge_run(mistral.request(run=str(folder), base=str(mistral.base), text=text), silent)
    expected = mistral.tensors()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in mistral.tensors(outcome.folder).items())
    # The head must be a head: a pickle that would run code is not read.
    (folder / LEGACY_HEAD_FILE).write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(CheckpointError, match=LEGACY_HEAD_FILE):
        merge_run(mistral.request(run=str(folder), base=str(mistral.base), text=text), silent)


# The Hub


def test_pushed_once_and_only_once(tied: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with HubStandIn() as hub:
        connect(monkeypatch, hub, tmp_path / "home")
        request = tied.request(push="someone/finance-135m")
        first = merge_run(request, silent)
        repo = hub.repo("someone/finance-135m")
        assert first.pushed == repo.head.oid
        assert repo.private
        assert repo.head.files.keys() >= {path.name for path in tied.merged.iterdir()}
        assert all(repo.head.files[path.name] == path.read_bytes() for path in tied.merged.iterdir())
        commits, uploads = hub.count("commit"), hub.count("lfs_upload")
        again = merge_run(request, silent)
        assert again.pushed == ""
        assert not again.fresh
        assert (hub.count("commit"), hub.count("lfs_upload")) == (commits, uploads)


def test_a_checkpoint_from_the_hub_is_merged(tied: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with HubStandIn() as hub:
        connect(monkeypatch, hub, tmp_path / "home")
        push_folder(tied.checkpoint.folder, "someone/checkpoints", "step 20", tag="step-000020")
        push_folder(tied.checkpoint.folder, "someone/checkpoints", "step 20 again", tag="best")
        for wanted in ("best", "last", "20"):
            assert select_checkpoint("someone/checkpoints", wanted).step == 20
        outcome = merge_run(tied.request(run="someone/checkpoints@step-000020"), silent)
        with pytest.raises(HubError, match="no such revision"):
            select_checkpoint("someone/checkpoints@nowhere", "best")
    assert outcome.folder.parent == Path("merged")
    expected = tied.tensors()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tied.tensors(outcome.folder).items())


def test_a_missing_token_is_told_before_the_work(tied: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    with HubStandIn() as hub:
        connect(monkeypatch, hub, tmp_path / "home", token=None)
        with pytest.raises(HubError, match="HF_TOKEN"):
            merge_run(tied.request(push="someone/finance", output=tmp_path / "out"), said.append)
    assert not said
    assert not (tmp_path / "out").exists()


# The model in 4 bits


def narrow_base(folder: Path) -> Path:
    """A tiny base whose sizes are whole blocks of NF4: bitsandbytes takes no others on a CPU."""
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(str(tiny_base(folder, tied=True, kind="llama")))
    config.intermediate_size = 128
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(str(folder))
    return folder


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_the_drift_from_the_4_bit_model_is_reported(tmp_path: Path):
    made = make(tmp_path, narrow_base(tmp_path / "base"), quantization="nf4", head_shift=3.0)
    gate = made.outcome.gate
    quantized, merged = Figures.from_dict(gate["quantized"]), Figures.from_dict(gate["merged"])
    assert quantized.positions == merged.positions
    # Four bits are far coarser than the rounding to bfloat16, and no gate.
    assert quantized.mean_kl > 10 * merged.mean_kl
    assert "4-bit model in training" in (made.merged / "README.md").read_text(encoding="utf-8")
    without = merge_run(made.request(output=tmp_path / "without", drift=False), silent)
    assert without.gate["quantized"] is None


def test_4_bits_that_cannot_run_are_told_and_stop_nothing(
    mistral: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(tmp_path / "run", str(mistral.base), quantization="nf4")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "bitsandbytes" else find_spec(name, *more)
    )
    said: list[str] = []
    outcome = merge_run(mistral.request(run=str(run)), said.append)
    assert outcome.gate["quantized"] is None
    assert any("not measured" in line and "pip install bitsandbytes" in line for line in said)


def test_weights_held_in_16_bits_are_computed_with_in_float32(mistral: Made) -> None:
    from train.modelling import load_trained
    from train.upcasting import compute_in_float32

    example = torch.tensor([[1, 5, 9, 300, 7, 12]])
    stored = load_trained(load_base(mistral.base, torch.bfloat16, CPU), mistral.checkpoint.folder)
    wide = load_trained(load_base(mistral.base, torch.bfloat16, CPU).float(), mistral.checkpoint.folder)
    # The head of a checkpoint takes the base's type.
    head_of(wide).weight.data = head_of(stored).weight.data.float()
    compute_in_float32(stored)
    before = {name: tensor.clone() for name, tensor in stored.state_dict().items()}
    with torch.inference_mode():
        assert torch.equal(stored(input_ids=example).logits, wide(input_ids=example).logits)
    after = stored.state_dict()
    assert all(
        tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]) for name, tensor in before.items()
    )


@pytest.mark.parametrize(
    ("weights", "output", "expected"),
    [
        (1_000_000, torch.bfloat16, torch.float32),
        (7_300_000_000, torch.bfloat16, torch.bfloat16),
        (7_300_000_000, torch.float16, torch.float16),
        (7_300_000_000, torch.float32, torch.bfloat16),
    ],
)
def test_the_gate_stays_within_its_memory(weights: int, output: torch.dtype, expected: torch.dtype):
    assert gate_dtype(weights, output, CPU) == expected


# The embedded model


@pytest.mark.timeout(1200)
def test_the_embedded_model_merges_and_answers(tmp_path: Path):
    """Real weights, tied in the base: through the gate, and the chat over the merged folder."""
    run = make_run(tmp_path / "run", "embedded", strength=0.01, head_shift=0.01)
    rows = write_rows(tmp_path / "rows.jsonl", 1)
    outcome = merge_run(MergeRequest(str(run), device="cpu", text=str(rows), positions=1), silent)
    assert outcome.folder.name == "SmolLM2-135M-Instruct-step-000020"
    assert Encoder(outcome.folder, outcome.folder.name).policy == Encoder(embedded_folder(), "135m").policy
    document = tmp_path / "note.md"
    document.write_text("Alder Rail reported revenue of 412 million dollars in 2023.", encoding="utf-8")
    config = RagConfig().with_setting("generation.model", str(outcome.folder))
    config = config.with_setting("generation.max_new_tokens", "24").with_setting("generation.device", "cpu")
    with RagPipeline(config) as rag:
        rag.add_document(document)
        answer = rag.ask("What was the revenue of Alder Rail in 2023?")
    assert "412" in answer.text
