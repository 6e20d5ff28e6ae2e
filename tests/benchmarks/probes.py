"""Speed of the logit lens against a straightforward loop: `python -m tests.benchmarks.probes [--prompts 100]`.

The loop does what published scripts do: one prompt at a time, head and softmax at every position of every layer, and
of that the last position is kept. It runs on some of the prompts only (`--loop`), because on two cores all of them
would take most of an hour. Needs XLING_DATA with the dataset `sentiment`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lm_eval_xling.probes.kinds.logit_lens import logit_lens
from lm_eval_xling.probes.labels import LabelTokens
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompt_sources import from_tasks
from lm_eval_xling.probes.vocabulary import token_bytes


def plain_loop(model: ProbedModel, prompts: list[Prompt]) -> np.ndarray:
    """Return the probability of all English labels, ``(prompts, layers + 1)``."""
    inner = model.model
    labels = LabelTokens(token_bytes(model.tokenizer, model.vocabulary))
    found = []
    for prompt in prompts:
        wanted = list(labels.sets(prompt).all_en)
        ids = model.tokenizer(prompt.text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = inner.model(ids, output_hidden_states=True).hidden_states
            of_layers = []
            for layer, state in enumerate(states):
                normed = state if layer == len(states) - 1 else inner.model.norm(state)
                probabilities = inner.lm_head(normed).float().softmax(-1)
                of_layers.append(probabilities[0, -1, wanted].sum().item())
        found.append(of_layers)
    return np.array(found)


def peak() -> float:
    """Return the greatest resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--task", default="xling_sentiment_sw")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--loop", type=int, default=10, help="prompts that the loop runs on, evenly spaced")
    parser.add_argument("--num-fewshot", type=int, default=0)
    wanted = parser.parse_args()

    prompts = from_tasks([wanted.task], limit=wanted.prompts, num_fewshot=wanted.num_fewshot, labels=True)
    model = ProbedModel(wanted.model)
    lengths = [len(model.tokenizer(prompt.text)["input_ids"]) for prompt in prompts]
    print(f"{len(prompts)} prompts of {wanted.task}, {np.mean(lengths):.0f} tokens each, {wanted.model}")
    with tempfile.TemporaryDirectory() as folder:
        # A quarter of the prompts warms up, and shows what memory a quarter needs: enough for several full batches.
        logit_lens(model, prompts[::4], folder=Path(folder, "quarter"))
        quarter = peak()
        start = time.perf_counter()
        result = logit_lens(model, prompts, folder=Path(folder, "all"))
        batched = (time.perf_counter() - start) / len(prompts)
        whole = peak()
        rows = [round(row) for row in np.linspace(0, len(prompts) - 1, min(wanted.loop, len(prompts)))]
        start = time.perf_counter()
        expected = plain_loop(model, [prompts[row] for row in rows])
        plain = (time.perf_counter() - start) / len(rows)
        ours = result.values["base"][rows][..., list(result.columns).index("p_all_en")]
        relative = float(np.mean([lengths[row] for row in rows]) / np.mean(lengths))
        difference = float(np.abs(ours - expected).max())
        factor = plain / batched / relative
        print(f"loop: {plain:.3f} s a prompt on {len(rows)} prompts ({relative:.2f} times the mean length)")
        print(f"logit lens: {batched:.3f} s a prompt on {len(prompts)} prompts, vocabulary and bands included")
        print(f"factor: {factor:.1f} at equal length (goal 10)")
        print(f"greatest difference of a probability: {difference:.1e} (goal 1e-5)")
        print(
            f"peak memory, GB: {quarter:.2f} for a quarter of the prompts, {whole:.2f} for all, {peak():.2f} for loop"
        )
        if difference > 1e-5:
            raise SystemExit("the probabilities differ")


if __name__ == "__main__":
    main()
