"""Translation by transformers and by CTranslate2: the same random model, texts, batches and limits.

The weights are random, of the shape that ``--shape`` names, so that nothing is downloaded and every output runs to
its limit: all kinds make equally many tokens. Kinds alternate in one process; the processor's time is counted as well
as the clock's, because the first does not depend on what else the machine does::

    python -m tests.benchmarks.translation --shape marian --texts 64 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel

from lm_eval_xling.translation import open_translator
from tests.translation import tiny_seq2seq

KINDS = {
    "`hf:`, float32": "hf:{model},batch_size={batch}",
    "`ct2:`, float32": "ct2:{model},batch_size={batch}",
    "`ct2:`, int8": "ct2:{model},batch_size={batch},compute_type=int8",
}
# Of opus-mt's models, and of one a quarter as wide to try the script.
SHAPES = {
    "marian": {
        "d_model": 512,
        **{f"{side}_layers": 6 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 8 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 2048 for side in ("encoder", "decoder")},
        "unused": 58_000,
    },
    "small": {"d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "unused": 4_000},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="marian")
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XLING_CACHE"] = f"{folder}/cache"
        model = save(Path(folder, "model"), SHAPES[arguments.shape])
        print(table(measure(model, arguments), arguments))


def save(folder: Path, shape: dict[str, int]) -> Path:
    """Write a random Marian model of a shape whose outputs never end before their limit."""
    folder.mkdir()
    torch.manual_seed(0)
    tiny_seq2seq.save_marian(folder, [], "en", "de", **shape, init_std=0.02, max_position_embeddings=512)
    model = MarianMTModel.from_pretrained(folder)
    model.final_logits_bias[0, model.config.eos_token_id] = -1e4
    # As the published models have it.
    model.generation_config.bad_words_ids = [[model.config.pad_token_id]]
    model.save_pretrained(folder)
    return folder


def measure(model: Path, arguments: argparse.Namespace) -> dict[str, list[tuple[float, float, int]]]:
    """Return seconds of the clock, seconds of the processor and tokens made, by kind and round."""
    draw = random.Random(0)
    words = "quick brown fox jumps over lazy dog sphinx black quartz judge vow".split()
    texts = [" ".join(draw.choices(words, k=draw.randint(4, 20))) for _ in range(arguments.texts)]
    translators = {
        kind: open_translator(name.format(model=model, batch=arguments.batch)) for kind, name in KINDS.items()
    }
    made: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in KINDS}
    for number in range(arguments.rounds + 1):
        for kind, translator in translators.items():
            clock, processor = time.perf_counter(), time.process_time()
            run: Any = translator.translate(texts[: 4 if number == 0 else None], "en", "de")
            seconds = time.perf_counter() - clock, time.process_time() - processor
            assert None not in run
            if number:  # The first loads and warms up.
                tokenizer = translator._tokenizer("en", "de")[0]  # type: ignore[attr-defined]
                lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
                made[kind].append((*seconds, sum(2 * length + 20 for length in lengths)))
    return made


def table(made: dict[str, list[tuple[float, float, int]]], arguments: argparse.Namespace) -> str:
    """Return the result in Markdown."""
    lines = [
        f"| {arguments.shape}, {arguments.texts} texts, batch {arguments.batch}, {torch.get_num_threads()} threads "
        "| tokens/s | tokens/s of processor time |",
        "|---|---|---|",
    ]
    for kind, rounds in made.items():
        speeds = [statistics.median(tokens / row[at] for *row, tokens in rounds) for at in (0, 1)]
        lines.append(f"| {kind} | {speeds[0]:.0f} | {speeds[1]:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
