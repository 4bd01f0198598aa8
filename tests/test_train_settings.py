"""Settings: every profile parses, what is wrong is named, and what is written is read back to the same."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from train.errors import SettingsError
from train.settings import TrainSettings, describe, dump_settings, load_settings, settings_from

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "train" / "configs").glob("*.yaml"))
PROFILES = {"mistral-7b-p100", "t4x2", "a10g", "h200", "smollm2-cpu"}
LARGE = [path for path in CONFIGS if path.stem in PROFILES - {"smollm2-cpu"}]


def sections() -> list[tuple[str, type[Any]]]:
    hints = get_type_hints(TrainSettings)
    return [(section.name, hints[section.name]) for section in fields(TrainSettings)]


def keys() -> list[tuple[str, str, Any, Any]]:
    """Section, key, type and metadata of every setting."""
    return [
        (section, item.name, get_type_hints(kind)[item.name], item.metadata)
        for section, kind in sections()
        for item in fields(kind)
    ]


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_profiles_are_there() -> None:
    assert {path.stem for path in CONFIGS} >= PROFILES


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_profile_parses(path: Path) -> None:
    found = load_settings(path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# "), "a profile says first what it is for"
    # What is spelt in the file is what is set, whatever the defaults become.
    for section, values in yaml.safe_load(text).items():
        for key, value in values.items():
            held = getattr(getattr(found, section), key)
            assert (list(held) if isinstance(held, tuple) else held) == value
    if Path(found.data.train).suffix:
        assert (ROOT / found.data.train).is_file()


def test_runs_of_the_profiles_do_not_meet() -> None:
    outputs = [load_settings(path).run.output for path in CONFIGS]
    assert len(set(outputs)) == len(outputs)


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_large_profiles_hold_the_recipe(path: Path) -> None:
    found = load_settings(path)
    assert found.base.model == "mistralai/Mistral-7B-Instruct-v0.1"
    assert (found.base.quantization, found.base.dtype) == ("nf4", "auto")
    assert (found.data.train, found.data.max_tokens) == ("gbharti/finance-alpaca", 1024)
    lora = found.lora
    assert (lora.rank, lora.alpha, lora.dropout) == (16, 4.0, 0.05)
    assert lora.targets == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert found.head.train
    optim = found.optim
    assert (optim.learning_rate, optim.schedule, optim.weight_decay) == (1e-4, "cosine", 0.01)


def test_the_defaults_are_the_recipe() -> None:
    assert replace(load_settings(ROOT / "train/configs/mistral-7b-p100.yaml"), batch=TrainSettings().batch) == replace(
        TrainSettings(), run=load_settings(ROOT / "train/configs/mistral-7b-p100.yaml").run
    )


def test_every_setting_is_described() -> None:
    text = describe()
    for section, key, _, metadata in keys():
        assert metadata["meaning"].strip()
        assert f"  {section}.{key} (" in text
    for name, kind in sections():
        assert f"{name}: {(kind.__doc__ or '').splitlines()[0]}" in text


def test_every_default_stands_within_its_bounds() -> None:
    spelt = yaml.safe_load(dump_settings(TrainSettings()))
    assert settings_from(spelt, "defaults") == TrainSettings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("optimizer: {name: adamw}", "optimizer is no section"),
        ("optim: {learning_rat: 1}", "optim.learning_rat is no setting"),
        ("optim: {epochs: two}", "optim.epochs is 'two'"),
        ("optim: {epochs: true}", "optim.epochs is True"),
        ("optim: {max_steps: 1.5}", "optim.max_steps is 1.5"),
        ("optim: {max_steps: .inf}", "optim.max_steps is inf"),
        ("optim: {learning_rate: .nan}", "optim.learning_rate is nan"),
        ("optim: {max_grad_norm: .inf}", "optim.max_grad_norm is inf"),
        ("optim: {learning_rate: 2}", "optim.learning_rate is 2.0; it must be from 0.0 to 1.0"),
        ("lora: {rank: 0}", "lora.rank is 0; it must be from 1 to 1024"),
        ("lora: {alpha: -1}", "lora.alpha is -1.0; it must be at least 0.0"),
        ("lora: {targets: 3}", "lora.targets must be a list of words"),
        ("lora: {targets: [q_proj, 3]}", "lora.targets must be a list of words"),
        ("head: {train: 1}", "head.train is 1; a true or false is needed"),
        ("head: {train: 'yes'}", "head.train is 'yes'"),
        ("data: {train: [a]}", "data.train is ['a']; a text is needed"),
        ("base: {quantization: int8}", "base.quantization is 'int8'; it must be one of nf4, none"),
        ("base: {dtype: [auto]}", "base.dtype is ['auto']"),
        ("base: 3", "base must hold keys"),
        ("base:", "base must hold keys"),
        ("3: {}", "3 is no section"),
        ("- a", "holds no sections"),
        ("base: {model: [", "is not YAML"),
        ("batch: {tokens: 512}", "batch.tokens is 512 and data.max_tokens 1024"),
        ("{lora: {targets: []}, head: {train: false}}", "nothing would be trained"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="profiles are in train/configs"):
        load_settings(tmp_path / "missing.yaml")
    binary = tmp_path / "model.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x9c")
    with pytest.raises(SettingsError, match="is not YAML"):
        load_settings(binary)
    assert load_settings(write(tmp_path, "")) == TrainSettings()


@pytest.mark.parametrize(
    ("change", "section", "key", "value"),
    [
        ("optim.epochs=2", "optim", "epochs", 2.0),
        ("optim.learning_rate=1e-4", "optim", "learning_rate", 1e-4),
        (" optim.max_steps = 5", "optim", "max_steps", 5),
        ("head.train=false", "head", "train", False),
        ("lora.targets=q_proj v_proj", "lora", "targets", ("q_proj", "v_proj")),
        ("lora.targets=[down_proj]", "lora", "targets", ("down_proj",)),
        ("base.quantization=none", "base", "quantization", "none"),
        ("run.hub_repo=", "run", "hub_repo", ""),
        ("data.train=C:/a=b.jsonl", "data", "train", "C:/a=b.jsonl"),
    ],
)
def test_set_changes_one_setting(tmp_path: Path, change: str, section: str, key: str, value: object) -> None:
    found = load_settings(write(tmp_path, "optim: {epochs: 7}"), [change])
    assert getattr(getattr(found, section), key) == value
    # A section that the file spells keeps its other keys.
    assert found.optim.epochs == (2.0 if key == "epochs" else 7.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("optim.epochs", "section.key=value"),
        ("epochs=2", "section.key=value"),
        ("optim.epoch=2", "optim.epoch is no setting"),
        ("optin.epochs=2", "optin is no section"),
        ("optim.epochs.x=2", "optim.epochs.x is no setting"),
        ("optim.epochs=[1", "not YAML"),
        ("optim.epochs=-1", "optim.epochs is -1.0"),
        ("run.output=2024", "run.output is 2024; a text is needed"),
    ],
)
def test_wrong_changes_are_named(tmp_path: Path, change: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, "optim: {epochs: 7}"), [change])
    assert named in str(caught.value)


def test_the_last_change_counts(tmp_path: Path) -> None:
    found = load_settings(write(tmp_path, ""), ["optim.epochs=2", "optim.epochs=3", "lora.rank=8"])
    assert (found.optim.epochs, found.lora.rank) == (3.0, 8)


# A batch must hold the longest row, so these two go together at their bounds.
ROOM = {("data", "max_tokens"): {"batch": {"tokens": 200_000}}, ("batch", "tokens"): {"data": {"max_tokens": 16}}}


@pytest.mark.parametrize(
    ("section", "key", "hint", "metadata"), keys(), ids=[f"{section}.{key}" for section, key, _, _ in keys()]
)
def test_bounds_hold_at_both_ends(section: str, key: str, hint: Any, metadata: Any) -> None:
    if hint not in (int, float):
        assert (metadata["low"], metadata["high"]) == (None, None)
        return
    for bound, direction in ((metadata["low"], -1), (metadata["high"], 1)):
        if bound is None:
            continue
        beyond = bound + direction if hint is int else math.nextafter(bound, direction * math.inf)
        settings_from({section: {key: bound}, **ROOM.get((section, key), {})}, "here")
        with pytest.raises(SettingsError, match=rf"{section}\.{key} is .*; it must be"):
            settings_from({section: {key: beyond}}, "here")


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ["null", "~", "yes", "1e-4", "12", "", " ", "a: b", "- a", "#x", "'", '"', "\u0085", "ü/é.jsonl", "{", "!!a"]
    ),
)


def values_of(hint: Any, metadata: Any) -> st.SearchStrategy[Any]:
    low, high = metadata["low"], metadata["high"]
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(TEXT, max_size=3).map(tuple)
    if hint is bool:
        return st.booleans()
    if hint is str:
        return TEXT
    if hint is int:
        return st.integers(low, 10**12 if high is None else high)
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def any_settings(draw: st.DrawFn) -> TrainSettings:
    chosen: dict[str, Any] = {name: {} for name, _ in sections()}
    for section, key, hint, metadata in keys():
        if draw(st.booleans()):
            chosen[section][key] = draw(values_of(hint, metadata))
    built = {name: kind(**chosen[name]) for name, kind in sections()}
    if built["batch"].tokens < built["data"].max_tokens:
        built["batch"] = replace(built["batch"], tokens=built["data"].max_tokens)
    if not built["lora"].targets:
        built["head"] = replace(built["head"], train=True)
    return TrainSettings(**built)


@given(chosen=any_settings())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_what_is_written_is_read_back_to_the_same(
    chosen: TrainSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    path.write_text(dump_settings(chosen), encoding="utf-8")
    assert load_settings(path) == chosen
