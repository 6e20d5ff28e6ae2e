"""How lm-evaluation-harness calls us: a task whose documents and scores are its family's.

A leaf's YAML names its family and itself, and ``LeafTask`` asks the family for everything else::

    class: !function lm_eval_xling.leaf_task.LeafTask
    dataset_kwargs: {family: mmlu, leaf: question_de}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask
from lm_eval.api.utils import Message

from lm_eval_xling.catalog.mirror import VARIABLE
from lm_eval_xling.families import Family, family_named
from lm_eval_xling.families.own_data import own_family
from lm_eval_xling.families.parameters import check_place, configure
from lm_eval_xling.families.task_files import SPLIT, base_content
from lm_eval_xling.families.tokens import token_counter
from lm_eval_xling.harness import check_version
from lm_eval_xling.leaf_dataset import LeafDataset, leaf_dataset
from lm_eval_xling.metrics.lengths import continuation_lengths
from lm_eval_xling.records import Document, Response

__all__ = ["LeafTask"]

_OF_MODELS = frozenset({"seed"})
"""Parameters of ours that are arguments of models too, which stand in the same metadata."""

_NEVER = "<|endoftext|>"
"""The harness's own stop for chat models, which no answer holds: some APIs refuse an empty list of stops."""


class LeafTask(ConfigurableTask):  # type: ignore[misc]
    """One leaf: a task whose documents and scores are its family's.

    Raises:
        UserError: an unknown family, leaf or parameter, or data that is missing or damaged.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        check_version()
        settings = {key: value for key, value in config.items() if key != "class"}
        metadata = settings.get("metadata") or {}
        place = settings["dataset_kwargs"]
        self.family = _family(place, metadata)
        as_written = self.family.leaf(place["leaf"])
        self.leaf = as_written
        self.check_metadata({key: value for key, value in metadata.items() if key not in _OF_MODELS})
        self.leaf, self.parameters = configure(self.family, as_written, metadata.get("xling"))
        self.form = self.family.form(self.leaf, self.parameters)
        if self.form is not self.family.forms[as_written.form]:
            form = base_content(self.family, self.form, _imported)
            kept = ("class", "tag", "metadata")
            settings |= {"doc_to_choice": None} | {key: value for key, value in form.items() if key not in kept}
        # The model's arguments stand in the metadata too.
        tokenizer = (
            getattr(self.parameters, "tokenizer", None) or metadata.get("tokenizer") or metadata.get("pretrained")
        )
        self._count_tokens = token_counter(tokenizer) if self.form.counts_tokens else None
        self._as_turns = self._in_chat = False
        self._sent: dict[str, list[tuple[str, str]]] | None = None
        given = metadata.get("xling")
        if isinstance(given, Mapping) and given.get("translator"):
            # What a user writes may hold a path, an address or a key; results say which translator it was.
            made = _made_by(leaf_dataset(*self._place()))
            settings["metadata"] = {**metadata, "xling": {**given, "translator": made}}
        super().__init__(config={**settings, "process_results": self.form.scores})
        self.sampler.df = self.dataset[SPLIT].demonstrations

    def check_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Refuse parameters of the leaf that stand beside ``xling``; no argument of a model is in this metadata."""
        check_place(self.family, self.leaf, metadata)

    def _place(self) -> tuple[Family, str, str, Any, str | None]:
        return self.family, self.leaf.name, self.leaf.form, self.parameters, os.environ.get(VARIABLE)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Ask the family for the documents."""
        # `--tasks 'xling_*'` matches a leaf by its name and by its family's tag, and the harness builds it twice.
        self.dataset = {SPLIT: leaf_dataset(*self._place())}

    def fewshot_docs(self) -> list[Any]:
        """Return nothing: the harness would make all, and the sampler is given those that are made on demand."""
        return []

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int, *args: Any, **options: Any) -> Any:
        """Return the prompt; under a chat template the cue begins the model's turn, and a generated answer has none."""
        if options.get("apply_chat_template") and self.form.messages != "turns":
            messages = self._messages(doc, num_fewshot, options.get("system_instruction"))
            self._in_chat = True
            return options["chat_template"](messages)
        self._in_chat = bool(options.get("apply_chat_template"))
        self._as_turns = self._in_chat and bool(options.get("fewshot_as_multiturn"))
        told = [doc["description"].strip(), doc["request"] if self._in_chat or self.form.generates else ""]
        description = "\n".join(part for part in told if part)
        # The harness puts no delimiter between a description and what follows it, and a turn needs none.
        doc = {**doc, "description": description if self._in_chat or not description else f"{description}\n\n"}
        if self._in_chat and self.form.generates:
            options["gen_prefix"] = None
        return super().fewshot_context(doc, num_fewshot, *args, **options)

    def _messages(self, doc: dict[str, Any], num_fewshot: int, system_instruction: str | None) -> list[dict[str, str]]:
        """Return what a chat model is sent where the form has messages of its own."""
        asked = {**doc, "description": ""} if self.form.messages == "system" else doc
        text = self.fewshot_context(asked, num_fewshot, gen_prefix=doc["cue"])
        system = doc["description"].strip() if self.form.messages == "system" else system_instruction
        before = [{"role": "system", "content": system}] if system else []
        return [*before, {"role": "user", "content": text}]

    def build_qa_turn(
        self,
        *,
        q: str | None = None,
        c: list[str] | None = None,
        a: str | int | list[str] | None = None,
        gen_prefix: str | None = None,
        tgt_delim: str = " ",
        few_delim: str = "\n\n",
    ) -> list[Message]:
        """Return question and answer as turns; the cue stands on a line of its own, right before the answer."""
        asked = Message("user", q or "", "\n" if gen_prefix else tgt_delim)
        if a is None:
            return [asked, Message("assistant", gen_prefix)] if gen_prefix else [Message("user", q or "")]
        answer = c[a] if c and isinstance(a, int) else str(a)
        shown = f"{gen_prefix}{tgt_delim}{answer}" if gen_prefix else answer
        if self._as_turns:
            # In a turn of its own an answer is whole, with the mark that closes it.
            return [asked, Message("assistant", (answer if self.form.generates else shown) + few_delim.rstrip())]
        return [asked, Message("assistant", shown, few_delim)]

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **options: Any) -> Any:
        """Return the requests; under a chat template an answer ends where the model ends it, not at a blank line.

        Where the next token alone is scored, the requests name their rule: ``(context, answer, rule)``.
        """
        made = super().construct_requests(doc, ctx, **options)
        if self.form.next_token:
            for instance, answer in zip(made, doc["choices"], strict=True):
                instance.arguments = (ctx, answer, self.form.next_token)
        if self._in_chat and self.form.generates and made.args[1].get("until") == list(self.form.stops):
            made.args[1]["until"] = [_NEVER]
        return made

    def build_all_requests(
        self, *, tokenizer_name: str = "", chat_template: Callable[..., Any] | None = None, **options: Any
    ) -> None:
        """Build the requests, and tell the harness's request cache what defines them beside the task's name."""
        self._sent = None
        if options.get("cache_requests"):
            tokenizer_name += f"-{self._digest(chat_template)}"
        super().build_all_requests(tokenizer_name=tokenizer_name, chat_template=chat_template, **options)

    def _digest(self, chat_template: Callable[..., Any] | None) -> str:
        """Return a hash of all documents, and of what else makes requests of them."""
        template = chat_template([{"role": "user", "content": "?"}]) if chat_template else None
        defining = [
            [*self.dataset[SPLIT].evaluated, *self.dataset[SPLIT].demonstrations],
            self.leaf.form,
            self.form.next_token,
            self.config.generation_kwargs,
            template,
        ]
        content = json.dumps(defining, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """Return the metrics of one document."""
        document = Document.from_row(doc)
        if self.form.generates:
            return dict(self.form.scores(document, [Response(context="", text=results[0])]))
        sent = self._requested(document)
        lengths = continuation_lengths(sent[0][0], [continuation for _, continuation in sent], self._count_tokens)
        responses = [
            Response(context, continuation, float(log_likelihood), tokens)
            for (context, continuation), (log_likelihood, _), tokens in zip(
                sent, results, lengths.tokens or [None] * len(sent), strict=True
            )
        ]
        return dict(self.form.scores(document, responses))

    def _requested(self, document: Document) -> list[tuple[str, str]]:
        """Return context and continuation of every request of a document, as they were sent."""
        if self._sent is None:
            self._sent = defaultdict(list)
            for instance in getattr(self, "_instances", None) or ():
                self._sent[instance.doc["id"]].append(instance.args[:2])
        alone = f"{document.prompt}\n{document.cue}"
        return self._sent.get(document.id) or [(alone, f"{self.form.delimiter}{text}") for text in document.choices]


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _made_by(dataset: LeafDataset) -> str:
    """Return the translators of code-switched documents, by kind and a digest of what their output depends on."""
    documents = (*dataset.evaluated, *dataset.demonstrations)
    switched = (how for document in documents for how in document["condition"].get("switched", {}).values())
    found = {how["translator"] for how in switched if "translator" in how}
    return " ".join(sorted(found))


def _family(place: Mapping[str, Any], metadata: Mapping[str, Any]) -> Family:
    if "description" not in place:
        return family_named(place["family"])
    # The harness says which file a task comes from; the description stands at a path from there.
    return own_family(Path(metadata["config_source"]).parent / place["description"])
