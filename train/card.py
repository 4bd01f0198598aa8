"""The model card: what the Hub reads at its top, and what a person needs to know to trust and to use the model."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rag_core.models import SMALL_GENERATOR
from train.base import EMBEDDED
from train.checkpoint import Checkpoint
from train.equivalence import DECIDED_MARGIN, Figures, Limits
from train.settings import RunSettings, TrainSettings, dump_settings

__all__ = ["GateResult", "model_card"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class GateResult:
    """What the gate measured: merged against trained, what training did to the base, and merged against 4 bits.

    `worst_weight` is the largest distance of a weight from what it should be, in roundings; `held_in` the type of
    the comparison; `quantized` is None where the checkpoint was not trained in 4 bits or they cannot run here.
    """

    merged: Figures
    trained: Figures
    quantized: Figures | None
    worst_weight: float
    held_in: str
    limits: Limits

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return asdict(self)


def model_card(checkpoint: Checkpoint, gate: GateResult, dtype: str, *, has_head: bool, repo: str = "") -> str:
    """Return README.md of the merged model: front matter as the Hub reads it, then data, settings, scores and gate."""
    settings = _public(checkpoint.settings)
    data = settings.data
    name = repo.rpartition("/")[2] or "This model"
    scores = "".join(f"| {key} | {value:.4f} |\n" for key, value in sorted(checkpoint.scores.items()))
    return f"""{_front_matter(checkpoint)}
# {name}

{_base_line(checkpoint)}, fine-tuned on finance questions with LoRA{" and its head trained in place" if has_head else ""},
merged into plain {dtype} weights. Made to answer from passages of a document that stand in the prompt.

## Use
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{repo or "FOLDER"}", dtype="{dtype}")
tokenizer = AutoTokenizer.from_pretrained("{repo or "FOLDER"}")
```
In the document chat: set `RAG_MODEL={repo or "FOLDER"}`. Trained under prompt version {checkpoint.prompt_version}.

## Data
Training rows: {data.train}. Held-out rows: {data.eval or f"{data.eval_rows} of the same, split off before training"}.
The loss is on the answers alone, their end included.

## Scores
At step {checkpoint.step}, on the held-out rows:

| score | value |
|---|---|
{scores or "| none recorded | |" + chr(10)}
## Merged against trained
The merged weights were compared with base + adapter{" + head" if has_head else ""} on {gate.merged.positions} held-out
tokens, computed in float32 from weights held in {gate.held_in}. KL and loss are in nats a token, losses of the
{gate.merged.answer_tokens} answer tokens. Top-1 is the share of tokens with the same first choice; decided are those at
which it leads by {DECIDED_MARGIN}.

{_gate_table(gate)}
Each weight, read back from the files, is within one rounding to {dtype} of base + alpha / rank x B A
(the furthest: {gate.worst_weight:.2f} of one).

## Settings
```yaml
{dump_settings(settings).rstrip()}
```

## Limits
It is small, it errs, and it knows nothing after its base's training. Check figures against the passages that it was
shown. It gives no investment advice.
"""


def _public(settings: TrainSettings) -> TrainSettings:
    """Return the settings without folders of the machine that trained: of a path, its last part stays."""

    def named(source: str) -> str:
        return Path(source).name if Path(source).is_absolute() else source

    base = replace(settings.base, model=named(settings.base.model))
    data = replace(settings.data, train=named(settings.data.train), eval=named(settings.data.eval))
    run = replace(RunSettings(), seed=settings.run.seed, output=Path(settings.run.output).name)
    return replace(settings, base=base, data=data, run=run)


def _gate_table(gate: GateResult) -> str:
    limits = gate.limits
    allowed = limits.loss + gate.merged.loss_chance(limits)
    rows = [
        "| compared | mean KL | largest KL | top-1 | top-1, decided | loss | loss of the reference |",
        "|---|---|---|---|---|---|---|",
        _row("merged against trained", gate.merged),
        f"| passes at | {limits.mean_kl:g} | {limits.max_kl:g} | | {limits.top1:g} | ± {allowed:.2g} | |",
        _row("base against trained (what training did)", gate.trained),
    ]
    if gate.quantized is not None:
        rows.append(_row("4-bit model in training against merged (no gate)", gate.quantized))
    return "\n".join(rows) + "\n"


def _row(name: str, figures: Figures) -> str:
    return (
        f"| {name} | {figures.mean_kl:.3g} | {figures.max_kl:.3g} | {figures.top1:.4f} | {figures.decided_top1:.4f} "
        f"| {figures.loss:.4f} | {figures.reference_loss:.4f} |"
    )


def _base_id(checkpoint: Checkpoint) -> str:
    """Return the base's id on the Hub, empty where it was a folder."""
    model = checkpoint.settings.base.model
    if model == EMBEDDED:
        return SMALL_GENERATOR
    return model if _HUB_ID.fullmatch(model) else ""


def _base_line(checkpoint: Checkpoint) -> str:
    base = _base_id(checkpoint)
    return f"[{base}](https://huggingface.co/{base})" if base else "A base model from a folder"


def _front_matter(checkpoint: Checkpoint) -> str:
    import yaml

    base, data = _base_id(checkpoint), checkpoint.settings.data
    datasets = [name for name in (data.train, data.eval) if _HUB_ID.fullmatch(name) and "." not in name.split("/")[1]]
    content = {
        "base_model": base or None,
        "base_model_relation": "finetune" if base else None,
        "datasets": datasets or None,
        "language": ["en"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["finance", "rag", "question-answering", "lora", "merged"],
    }
    kept = {key: value for key, value in content.items() if value is not None}
    return f"---\n{yaml.safe_dump(kept, sort_keys=False)}---"
