"""Half-way between two trained readers: the numbers, what is refused, and the command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rag_core.encoder.changes import unpacked
from train.errors import BaseModelError, CheckpointError
from train.reader.averaging import average, main
from train.reader.packing import save_reader

BASE = "encoder.layer.0.attention.self.query.weight"
MATRIX = "layer.weight"


def reader(path: Path, seed: int, base: int = 0, outputs: int = 8) -> dict[str, torch.Tensor]:
    """Write a reader that changed one matrix, a vector and the head; return what it holds."""
    draw = torch.Generator().manual_seed(base)
    whole = {BASE: torch.randn(4, 64, generator=draw), MATRIX: torch.randn(8, 128, generator=draw)[:outputs]}
    whole["layer.bias"] = torch.zeros(8)
    draw.manual_seed(seed)
    trained = {BASE: whole[BASE], MATRIX: whole[MATRIX] + torch.randn(outputs, 128, generator=draw)}
    trained["layer.bias"] = torch.randn(8, generator=draw)
    trained["head.weight"] = torch.randn(2, 64, generator=draw)
    save_reader(trained, whole, path)
    return unpacked(load_file(str(path)))


def test_the_average_lies_between_both_as_far_as_four_bits_tell(tmp_path: Path) -> None:
    first, second, out = tmp_path / "1.safetensors", tmp_path / "2.safetensors", tmp_path / "out.safetensors"
    ours, theirs = reader(first, 1), reader(second, 2)
    average(first, second, out, 0.25)
    kept, raw = unpacked(load_file(str(out))), load_file(str(out))
    assert kept.keys() == ours.keys()
    assert {name: tensor.dtype for name, tensor in raw.items()} == {
        name: tensor.dtype for name, tensor in load_file(str(second)).items()
    }
    for name, tensor in kept.items():
        wanted = 0.75 * ours[name] + 0.25 * theirs[name]
        packed = name == MATRIX
        # Half a step of the coarsest block, where four bits hold it; a half's own rounding elsewhere.
        assert torch.allclose(tensor, wanted, atol=0.35 if packed else 2e-3)
        assert (tensor - wanted).pow(2).mean().sqrt() < (0.15 if packed else 1e-3)
    assert not torch.allclose(kept["head.weight"], ours["head.weight"], atol=0.05)


def test_either_end_is_one_of_both(tmp_path: Path) -> None:
    first, second, out = tmp_path / "1.safetensors", tmp_path / "2.safetensors", tmp_path / "out.safetensors"
    found = (reader(first, 1), reader(second, 2))
    for share, whole in zip((0.0, 1.0), found, strict=True):
        average(first, second, out, share)
        assert torch.equal(unpacked(load_file(str(out)))["head.weight"], whole["head.weight"])


def test_what_does_not_go_together_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    first, out = tmp_path / "1.safetensors", tmp_path / "out.safetensors"
    reader(first, 1)
    out.write_bytes(b"the one before")
    other, smaller = tmp_path / "other.safetensors", tmp_path / "smaller.safetensors"
    reader(other, 2, base=9)
    reader(smaller, 2, outputs=4)
    with pytest.raises(BaseModelError, match="trained from another model"):
        average(first, other, out)
    with pytest.raises(CheckpointError, match="hold other tensors"):
        average(first, smaller, out)
    with pytest.raises(CheckpointError, match="between 0 and 1"):
        average(first, first, out, 1.5)
    assert out.read_bytes() == b"the one before"


def test_the_command_says_in_a_line_what_is_no_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, none = tmp_path / "1.safetensors", tmp_path / "none.safetensors"
    reader(first, 1)
    none.write_text("nothing")
    monkeypatch.setattr("sys.argv", ["averaging", str(none), str(first), str(tmp_path / "out")])
    assert main() == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setattr("sys.argv", ["averaging", str(first), str(first), str(tmp_path / "out"), "--share", "0.3"])
    assert main() == 0
    assert (tmp_path / "out").is_file()
