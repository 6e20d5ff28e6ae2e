"""Provenance ▸ model card, in the hub's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from lm_eval_xling.training.evaluation import OWN_TASKS, evaluation

__all__ = ["model_card"]

_CHUA = (
    "Chua et al. 2024, *Crosslingual Capabilities and Knowledge Barriers in Multilingual LLMs*, "
    "[arXiv 2406.16135](https://arxiv.org/abs/2406.16135)"
)
_PAPERS = {
    "question alignment": "Zhang et al. 2024, *Large Language Models are Good Spontaneous Multilingual Learners*, "
    "[arXiv 2405.13816](https://arxiv.org/abs/2405.13816)",
    "mixed-language fine-tuning": _CHUA,
    "teaching facts": "Maini et al. 2024, *TOFU: A Task of Fictitious Unlearning for LLMs*, "
    "[arXiv 2401.06121](https://arxiv.org/abs/2401.06121)",
    "source-language fine-tuning": f"the ablation of {_CHUA}",
}


def model_card(provenance: Mapping[str, Any]) -> str:
    """Return the README of a trained adapter or model.

    Args:
        provenance: what ``provenance.json`` holds.
    """
    adapter = provenance["config"]["lora"] is not None
    header = {
        "base_model": provenance["model"],
        "language": provenance["languages"],
        "tags": ["lm-eval-xling", "crosslingual", *(["lora"] if adapter else [])],
        **({"library_name": "peft"} if adapter else {"library_name": "transformers"}),
        "pipeline_tag": "text-generation",
    }
    arguments = {"pretrained": provenance["model"], "peft": "THIS_FOLDER"} if adapter else {"pretrained": "THIS_FOLDER"}
    command = evaluation(provenance, arguments)
    own = f"\n`{OWN_TASKS}`: tasks of your own facts (`xling tasks new`).\n" if OWN_TASKS in command.split() else ""
    rows = "\n".join(f"| {file['name']} | `{file['sha256']}` |" for file in provenance["data"])
    scores = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in provenance["scores"].items())
    losses = "\n".join(
        f"| {name} | {before:.3f} | {after:.3f} |" for name, (before, after) in provenance["losses"].items()
    )
    watched = f"\n| loss of | before | after |\n|---|---|---|\n{losses}\n" if losses else ""
    versions = ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
    config = yaml.safe_dump(provenance["config"], sort_keys=False, allow_unicode=True)
    return f"""---
{yaml.safe_dump(header, sort_keys=False).strip()}
---

# {provenance["config"]["output"]}: {provenance["recipe"]} of {provenance["model"]}

{"A LoRA adapter" if adapter else "A fine-tuned model"}, trained by {provenance["recipe"]}
({_PAPERS[provenance["recipe"]]}) with lm-eval-xling.
Languages that it was trained in: {", ".join(provenance["languages"])}.

## Evaluate it

```sh
{command}
```
{own}
Whether it fits a model: `xling doctor --adapter THIS_FOLDER --model {provenance["model"]}`.

## Measured

Losses are in nats per target token, on held-out data. Reloading was checked: the saved weights give the trained
model's log-probabilities, and not the base model's.

| | |
|---|---|
{scores}
{watched}
## Made from

Base model: {provenance["model"]}, revision `{provenance["revision"]}`

| data | sha256 |
|---|---|
{rows}

Versions: {versions}

```yaml
{config.strip()}
```
"""
