"""NLLB-200, M2M-100, MADLAD-400, Marian and its kin, computed by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lm_eval_xling.models import choose_device, load_model
from lm_eval_xling.translation.seq2seq import NO_MODEL, Search, Seq2SeqTranslator, TextBatch

__all__ = ["TransformersTranslator"]


class TransformersTranslator(Seq2SeqTranslator):
    """``hf:MODEL``, a folder or a name on the hub; see ``Seq2SeqTranslator``.

    Options are ``batch_size``, ``beams`` (1: greedy), ``device`` (a GPU when there is one), ``dtype`` (float32 on
    CPU, else bfloat16: T5 overflows in float16) and ``revision``.
    """

    kind = "hf"
    defaults = {**Seq2SeqTranslator.defaults, "dtype": ""}

    def identity(self, source: str, target: str) -> str:
        """Return the model with its commit, or the hash of its files, and what changes the decoding."""
        dtype = self.options["dtype"]
        # "alone": since the texts beside it in a batch change no output; translations of before are made again.
        decoding = f"beams={self.beams},alone" + (f",dtype={dtype}" if dtype else "")
        return f"hf:{self._version(source, target)}:{decoding}"

    def _load(self, name: str) -> Any:
        device = choose_device(self.options["device"] or None)
        dtype = self.options["dtype"] or ("float32" if device == "cpu" else "bfloat16")
        revision = self.options["revision"] or None
        model = load_model(name, revision=revision, dtype=dtype, device=device, kind="seq2seq", fix=NO_MODEL)
        # Marian's models end every output at the limit, which is the batch's and not the text's.
        model.generation_config.forced_eos_token_id = None
        return model

    def _positions(self, name: str, model: Any) -> int | None:
        return getattr(model.config, "max_position_embeddings", None)

    def _generate(self, model: Any, tokenizer: Any, batches: Sequence[TextBatch], search: Search) -> Iterator[Any]:
        import torch

        # Given only where there is one: a keyword of None would hide what the model's own configuration says.
        forced = {} if search.first is None else {"forced_bos_token_id": search.first}
        for texts, most in batches:
            batch = tokenizer(texts, return_tensors="pt", padding=True).to(model.device)
            # Marian's and M2M's tokenizers may add what the models do not take.
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                made = model.generate(
                    **inputs,
                    **forced,
                    do_sample=False,
                    num_beams=search.beams,
                    no_repeat_ngram_size=search.unrepeated,
                    max_new_tokens=most,
                )
            yield made[:, 1:]
