"""One pass over texts: each batch runs once, what a probe needs of it is kept, and a killed pass continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import write_atomically
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel

if TYPE_CHECKING:
    import torch

__all__ = ["POOLINGS", "TokenBatch", "Tokens", "encode", "end_of_text", "pool", "representations", "sweep"]

POOLINGS = ("last", "mean", "weighted")
"""Last token; mean over the text's own tokens; mean weighted by position (SGPT, as in MEXA)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as the model reads it."""

    ids: tuple[int, ...]
    """Token ids, special tokens included."""
    special: tuple[bool, ...]
    """Which of them the tokenizer added; a first special token gathers attention and dwarfs a plain mean."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Texts of one forward pass, padded on the right."""

    items: tuple[int, ...]
    """Indices of the items; the texts of one item follow one another."""
    ids: torch.Tensor
    """``(texts, length)``, int64."""
    mask: torch.Tensor
    """1 at tokens of the text, 0 at padding."""
    special: torch.Tensor
    """True at tokens that the tokenizer added."""


def encode(model: ProbedModel, texts: Sequence[str]) -> list[Tokens]:
    """Tokenize texts as they are read before an answer; the left end of a text that is too long is cut.

    What the tokenizer puts before a text stays. What it puts after one (an EOS) does not: what a layer would say next
    is asked after the text, not after its end.

    Raises:
        UserError: if a text has no tokens, or one that a variant of the model has no embedding of.
    """
    encoded = []
    special_ids = set(model.tokenizer.all_special_ids)
    for text in texts:
        ids = model.tokenizer(text)["input_ids"]
        ids = ids[: end_of_text(model.tokenizer, text, ids)]
        strange = next((token for token in ids if token >= model.readable), None)
        if strange is not None:
            raise UserError(
                f"the text has the token {model.tokenizer.convert_ids_to_tokens(strange)!r}, which only an adapter's "
                "vocabulary has: the base model cannot read it",
                where=repr(text[:80]),
                fix="give texts without it",
            )
        special = [token in special_ids for token in ids]
        # Only those at the ends are the tokenizer's; the same id inside comes from the text.
        inner = [index for index, is_special in enumerate(special) if not is_special]
        if not inner:
            raise UserError("a text without tokens", where=repr(text), fix="leave out empty texts")
        special = [not inner[0] <= index <= inner[-1] for index in range(len(ids))]
        limit = model.max_length
        if limit is not None and len(ids) > limit:
            head = inner[0]
            ids = ids[:head] + ids[len(ids) - limit + head :]
            special = special[:head] + special[len(special) - limit + head :]
        encoded.append(Tokens(tuple(ids), tuple(special)))
    return encoded


def end_of_text(tokenizer: Any, text: str, ids: Sequence[int]) -> int:
    """Return how many of a text's tokens come before those that the tokenizer puts after it.

    Args:
        tokenizer: of transformers.
        text: the text.
        ids: its tokens, special ones included.
    """
    own = tokenizer(text, add_special_tokens=False)["input_ids"]
    for start in range(len(ids) - len(own) + 1):
        if list(ids[start : start + len(own)]) == list(own):
            return start + len(own)
    # A tokenizer that writes a text otherwise among special tokens: at least its EOS ends no text of ours.
    appended = len(ids) > 1 and ids[-1] == tokenizer.eos_token_id and (not own or own[-1] != ids[-1])
    return len(ids) - appended


def pool(states: Sequence[torch.Tensor], batch: TokenBatch, pooling: str) -> torch.Tensor:
    """Reduce the hidden states of each text to one vector a layer.

    Args:
        states: one tensor ``(texts, length, width)`` a layer.
        batch: the batch that gave them.
        pooling: one of ``POOLINGS``. ``weighted`` gives position ``t`` of all tokens the weight
            ``t / (1 + … + T)`` (Muennighoff 2022, arXiv 2202.08904, section 4.1; used by MEXA), special tokens
            included as there; ``mean`` leaves special tokens out.

    Returns:
        ``(texts, layers + 1, width)`` in float32.
    """
    import torch

    if pooling == "last":
        last = batch.mask.sum(1) - 1
        rows = torch.arange(len(last), device=last.device)
        return torch.stack([state[rows, last] for state in states], dim=1).float()
    if pooling == "mean":
        weights = (batch.mask.bool() & ~batch.special).float()
    else:
        weights = batch.mask * torch.arange(1, batch.mask.shape[1] + 1, device=batch.mask.device).float()
    weights = weights / weights.sum(1, keepdim=True)
    return torch.stack([torch.einsum("bt,btd->bd", weights, state.float()) for state in states], dim=1)


def representations(
    model: ProbedModel, groups: Sequence[Sequence[Prompt]], pooling: str, *, folder: Path, name: str, batch_tokens: int
) -> dict[str, NDArray[np.float32]]:
    """Return per variant the vectors of parallel items ``(languages, items, layers + 1, width)``, memory-mapped."""
    texts = [prompt.text for group in groups for prompt in group]
    encoded = [(tokens,) for tokens in encode(model, texts)]
    return {
        variant: sweep(
            model,
            variant,
            encoded,
            lambda states, batch: pool(states, batch, pooling),
            (model.states, model.width),
            folder=folder,
            name=name,
            key={"pooling": pooling, "model": model.describe()},
            batch_tokens=batch_tokens,
        ).reshape(len(groups), len(groups[0]), model.states, model.width)
        for variant in model.variants
    }


def sweep(
    model: ProbedModel,
    variant: str,
    items: Sequence[Sequence[Tokens]],
    compute: Callable[[Sequence[torch.Tensor], TokenBatch], torch.Tensor],
    shape: tuple[int, ...],
    *,
    folder: Path,
    name: str,
    key: Mapping[str, Any],
    batch_tokens: int = 2048,
    watch: Callable[[TokenBatch], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> NDArray[np.float32]:
    """Run all items once and return what ``compute`` makes of each, as a memory-mapped file.

    A finished batch is written before the next begins, and batches are the same in every run, so that a killed pass
    continues with the same result. Another ``batch_tokens`` changes it by rounding only.

    Args:
        model: the model, whose ``variant`` is switched on.
        variant: ``base`` or an adapter's name.
        items: the texts of each item; all items have equally many.
        compute: from one hidden state a layer ``(texts, length, width)`` and the batch to ``(items, *shape)``.
        shape: of one item's result.
        folder: where the file stands.
        name: first part of the file's name.
        key: what the result depends on besides the tokens; another key is another file.
        batch_tokens: greatest number of tokens in a batch, padding included.
        watch: what surrounds a batch's pass, for what the hidden states do not show.

    Returns:
        ``(items, *shape)``, read-only.

    Raises:
        UserError: if the device has too little memory for a batch.
    """
    import torch
    from tqdm import tqdm

    from lm_eval_xling.models.float32_products import float32_products

    parts = {"variant": variant, "shape": shape, **key}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for item in items:
        digest.update(repr([text.ids for text in item]).encode())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{variant}-{digest.hexdigest()[:16]}.npy"
    done_path = path.with_suffix(".done")
    # The array is created whole under its name before the first batch counts as done.
    if not path.exists():
        done_path.unlink(missing_ok=True)
        fresh = path.with_suffix(".new")
        np.lib.format.open_memmap(fresh, mode="w+", dtype=np.float32, shape=(len(items), *shape)).flush()
        fresh.rename(path)
    results = np.lib.format.open_memmap(path, mode="r+")
    batches = _plan(items, batch_tokens)
    # A dictionary is a set in the order of the file.
    done = dict.fromkeys(map(int, done_path.read_text().split("\n")[:-1])) if done_path.exists() else {}
    # A kill may have cut the last line short; what is appended must not continue it.
    write_atomically(done_path, "".join(f"{index}\n" for index in done).encode())
    with (
        done_path.open("a", encoding="ascii") as journal,
        model.use(variant),
        torch.inference_mode(),
        float32_products(model.model.device),
        tqdm(total=len(items), desc=f"{name} [{variant}]", unit="text", disable=None) as progress,
    ):
        for planned in batches:
            # With the same budget a batch is done or not; a run continued with another has parts of batches.
            indices = tuple(index for index in planned if index not in done)
            if indices:
                batch = _batch(model, items, indices)
                try:
                    with watch(batch):
                        states = model.hidden_states(batch.ids, batch.mask)
                    results[list(indices)] = compute(states, batch).float().cpu().numpy()
                except torch.OutOfMemoryError as error:
                    raise UserError(
                        f"the device has too little memory for a batch of {batch.ids.numel()} tokens",
                        fix=f"give --batch-tokens {max(1, batch.ids.numel() // 2)}; what is done is kept",
                    ) from error
                results.flush()
                journal.write("".join(f"{index}\n" for index in indices))
                journal.flush()
            progress.update(len(planned))
    finished: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return finished


def _plan(items: Sequence[Sequence[Tokens]], batch_tokens: int) -> list[tuple[int, ...]]:
    """Return batches of item indices: the longest first, so that too little memory shows at once."""
    longest = [max(len(text.ids) for text in item) for item in items]
    order = sorted(range(len(items)), key=lambda index: (-longest[index], index))
    batches: list[list[int]] = []
    for index in order:
        texts = len(items[index])
        if batches and longest[batches[-1][0]] * texts * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return [tuple(batch) for batch in batches]


def _batch(model: ProbedModel, items: Sequence[Sequence[Tokens]], indices: tuple[int, ...]) -> TokenBatch:
    import torch

    texts = [text for index in indices for text in items[index]]
    length = max(len(text.ids) for text in texts)
    # The id of padding is never read: its attention mask is 0 and it stands to the right.
    ids = torch.zeros(len(texts), length, dtype=torch.long)
    mask = torch.zeros(len(texts), length, dtype=torch.long)
    special = torch.zeros(len(texts), length, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, : len(text.ids)] = torch.tensor(text.ids)
        mask[row, : len(text.ids)] = 1
        special[row, : len(text.ids)] = torch.tensor(text.special)
    return TokenBatch(indices, ids.to(model.device), mask.to(model.device), special.to(model.device))
