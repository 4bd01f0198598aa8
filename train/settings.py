"""All settings of a run, typed and described: one frozen dataclass a stage, read from YAML, changed by `--set`.

Unknown keys are refused, values are checked against the field's type and bounds, and a message names the key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from train.errors import SettingsError

__all__ = [
    "BaseSettings",
    "BatchSettings",
    "DataSettings",
    "HeadSettings",
    "LoraSettings",
    "MemorySettings",
    "OptimSettings",
    "RunSettings",
    "TrainSettings",
    "change_settings",
    "describe",
    "dump_settings",
    "load_settings",
    "settings_from",
]


def _is(default: Any, meaning: str, low: float | None = None, high: float | None = None) -> Any:
    """Return a field with its meaning and, for numbers, the bounds that it may take."""
    metadata = {"meaning": meaning, "low": low, "high": high}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class BaseSettings:
    """The model that is trained from."""

    model: str = _is("mistralai/Mistral-7B-Instruct-v0.1", "Hub id, folder, or `embedded` (SmolLM2-135M as a package)")
    revision: str = _is("", "commit, tag or branch on the Hub; empty: main")
    quantization: Literal["nf4", "none"] = _is(
        "nf4", "nf4: 4 bits, doubly quantised (QLoRA, arXiv:2305.14314); or none"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = _is(
        "auto", "type of computation; auto: bfloat16 where the card has it, else float16; float32 on a CPU"
    )
    quant_storage: Literal["uint8", "bfloat16", "float32"] = _is(
        "uint8", "type in which bitsandbytes stores the 4-bit weights"
    )


@dataclass(frozen=True)
class DataSettings:
    """The rows: columns instruction, input and output."""

    train: str = _is("gbharti/finance-alpaca", "Hub id of a data set, or a .jsonl or .parquet file")
    eval: str = _is("", "the same for held-out rows; empty: `eval_rows` are split off the training rows")
    eval_rows: int = _is(500, "most held-out rows; 0 takes all of `eval`", 0, 1_000_000)
    train_rows: int = _is(0, "most training rows; 0: all", 0)
    max_tokens: int = _is(1024, "longest row in tokens, prompt and answer together", 16, 131_072)
    overlong: Literal["cut", "drop"] = _is(
        "cut", "what happens to longer rows: the answer's end is cut, or the row goes"
    )
    seed: int = _is(0, "of the split and of the order of rows", 0)


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685)."""

    rank: int = _is(16, "rank of the two factors", 1, 1024)
    alpha: float = _is(4.0, "the product of the factors is scaled by alpha / rank", 0.0)
    dropout: float = _is(0.05, "share of the adapter's input that is dropped while training", 0.0, 0.9)
    targets: tuple[str, ...] = _is(("q_proj", "k_proj", "v_proj", "o_proj"), "names of the linear layers that get one")


@dataclass(frozen=True)
class HeadSettings:
    """The output head beside the adapters."""

    train: bool = _is(True, "train the head in place; tied embeddings are untied first, and only the head moves")


@dataclass(frozen=True)
class OptimSettings:
    """Optimisation."""

    name: Literal["adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"] = _is(
        "paged_adamw_32bit", "adamw is torch's; the others are those of bitsandbytes and need a GPU"
    )
    learning_rate: float = _is(1e-4, "peak, reached after warm-up", 0.0, 1.0)
    weight_decay: float = _is(0.01, "decoupled, on matrices only", 0.0, 1.0)
    schedule: Literal["cosine", "linear", "constant"] = _is("cosine", "from the peak to 0 (constant: stays)")
    warmup_fraction: float = _is(0.03, "share of all steps with a rising rate", 0.0, 0.5)
    max_grad_norm: float = _is(1.0, "gradients are scaled down to this norm; 0: never", 0.0)
    epochs: float = _is(1.0, "passes over the training rows", 0.0, 1_000.0)
    max_steps: int = _is(0, "end after so many optimizer steps; 0: by epochs", 0)


@dataclass(frozen=True)
class BatchSettings:
    """What goes through the model at once."""

    tokens: int = _is(4096, "most tokens of one batch on one device, padding counted", 16)
    rows: int = _is(0, "most rows of one batch; 0: as many as the tokens allow", 0)
    accumulation: int = _is(1, "batches to one optimizer step", 1, 4096)
    pad_multiple: int = _is(64, "rows are padded to a multiple of this, so that few shapes occur", 1, 1024)


@dataclass(frozen=True)
class MemorySettings:
    """What is traded between memory and time."""

    checkpointing: bool = _is(True, "compute each layer again in the backward pass rather than keep what it made")
    kept_layers: int = _is(0, "last layers that are not computed again, where memory allows", 0)
    compile: bool = _is(
        False, "compile the layers with torch.compile (a minute at the start; needs a GPU of 2018 or newer)"
    )
    loss_chunk_tokens: int = _is(1024, "tokens whose logits are held at once", 16)
    attention: Literal["sdpa", "eager"] = _is("sdpa", "implementation of attention")
    shard: bool = _is(
        False, "split the model over the processes of accelerate launch (FSDP), rather than a whole one on each card"
    )


@dataclass(frozen=True)
class RunSettings:
    """Where it goes, and when it is looked at."""

    output: str = _is("runs/mistral-7b-finance", "folder of the run: settings, log, checkpoints")
    seed: int = _is(0, "of weights and dropout", 0)
    log_every: int = _is(10, "steps between lines of the log", 1)
    eval_every: int = _is(200, "steps between evaluations; 0: at the end only", 0)
    save_every: int = _is(200, "steps between checkpoints; 0: at the end only", 0)
    keep: int = _is(0, "newest checkpoints kept on this disk once uploaded; 0: all", 0)
    hub_repo: str = _is("", "owner/name of a model repository for the checkpoints; empty: none. Needs HF_TOKEN")
    hub_private: bool = _is(True, "create that repository as a private one")


@dataclass(frozen=True)
class TrainSettings:
    """Everything that defines a run."""

    base: BaseSettings = field(default_factory=BaseSettings)
    data: DataSettings = field(default_factory=DataSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.batch.tokens < self.data.max_tokens:
            raise SettingsError(
                f"batch.tokens is {self.batch.tokens} and data.max_tokens {self.data.max_tokens}: the longest row must "
                "fit into a batch; raise the one or lower the other"
            )
        if not self.lora.targets and not self.head.train:
            raise SettingsError("lora.targets is empty and head.train is false: nothing would be trained")


def load_settings(path: str | Path, changes: tuple[str, ...] | list[str] = ()) -> TrainSettings:
    """Return the settings of a YAML file, changed by `section.key=value` words (values in YAML).

    Raises SettingsError, which names the file and the key.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); profiles are in train/configs") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no sections; see train/configs for examples")
    for change in changes:
        _apply(content, change)
    return settings_from(content, str(path))


def settings_from(content: dict[str, Any], source: str) -> TrainSettings:
    """Return the settings that `content` (section: key: value) spells. Raises SettingsError naming `source`."""
    built = {}
    known = {item.name: item for item in fields(TrainSettings)}
    for name, values in content.items():
        if name not in known:
            raise SettingsError(f"{source}: {name} is no section; known are {', '.join(known)}")
        if not isinstance(values, dict):
            raise SettingsError(f"{source}: {name} must hold keys with values")
        built[name] = _section(name, get_type_hints(TrainSettings)[name], values, source)
    return replace(TrainSettings(), **built)


def change_settings(settings: TrainSettings, changes: Iterable[str]) -> TrainSettings:
    """Return `settings` with `section.key=value` words applied. Raises SettingsError."""
    content = asdict(settings)
    for change in changes:
        _apply(content, change)
    return settings_from(content, "--set")


def dump_settings(settings: TrainSettings) -> str:
    """Return the settings as YAML that `load_settings` reads back to the same."""
    import yaml

    plain = {
        name: {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
        for name, values in asdict(settings).items()
    }
    # ASCII: some line breaks of Unicode do not come back otherwise.
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False))


def describe() -> str:
    """Return a line for each field: its key, its default and its meaning."""
    lines = []
    for section in fields(TrainSettings):
        kind = get_type_hints(TrainSettings)[section.name]
        lines.append(f"{section.name}: {(kind.__doc__ or '').splitlines()[0]}")
        values = kind()
        for item in fields(kind):
            shown = getattr(values, item.name)
            shown = " ".join(shown) if isinstance(shown, tuple) else shown
            lines.append(f"  {section.name}.{item.name} ({shown}): {item.metadata['meaning']}")
    return "\n".join(lines)


def _apply(content: dict[str, Any], change: str) -> None:
    import yaml

    key, sign, value = change.partition("=")
    section, dot, name = key.strip().partition(".")
    if not sign or not dot:
        raise SettingsError(f"--set takes section.key=value, for example --set optim.epochs=2, not {change!r}")
    held = content.setdefault(section, {})
    if not isinstance(held, dict):
        raise SettingsError(f"{section} is no section")
    try:
        held[name] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {change}: the value is not YAML") from error


def _section(name: str, kind: type[Any], values: dict[str, Any], source: str) -> Any:
    hints, known = get_type_hints(kind), {item.name: item for item in fields(kind)}
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"{source}: {name}.{key} is no setting; known are {', '.join(known)}")
        checked[key] = _value(f"{source}: {name}.{key}", value, hints[key], known[key].metadata)
    built = kind(**checked)
    if not is_dataclass(built):
        raise SettingsError(f"{source}: {name} is no section")
    return built


def _value(where: str, value: Any, hint: Any, bounds: Any) -> Any:
    """Return `value` as the type of its field. YAML reads 1e-4 as a string, so numbers in strings count."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise SettingsError(f"{where} is {value!r}; it must be one of {', '.join(map(str, get_args(hint)))}")
        return value
    if get_origin(hint) is tuple:
        items = value.split() if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
            raise SettingsError(f"{where} must be a list of words")
        return tuple(items)
    if hint is bool or hint is str:
        value = "" if value is None and hint is str else value
        if not isinstance(value, hint):
            raise SettingsError(f"{where} is {value!r}; a {'true or false' if hint is bool else 'text'} is needed")
        return value
    return _number(where, value, hint, bounds)


def _number(where: str, value: Any, hint: Any, bounds: Any) -> int | float:
    try:
        number = hint(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not math.isfinite(number) or (hint is int and isinstance(value, float) and value != number):
        raise SettingsError(f"{where} is {value!r}; a {'whole number' if hint is int else 'number'} is needed")
    low, high = bounds.get("low"), bounds.get("high")
    if (low is not None and number < low) or (high is not None and number > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise SettingsError(f"{where} is {number}; it must be {limits}")
    return number  # type: ignore[no-any-return]
