"""Configuration ▸ facts to teach, and the rows that teach them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from lm_eval_xling import catalog, literals
from lm_eval_xling.catalog.ledger import load
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.ledger import WORDINGS, check_attributes, prompt_of
from lm_eval_xling.files import json_lines
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.mixing.mixture import uniform
from lm_eval_xling.records import Fact, Row
from lm_eval_xling.training.batching import Example
from lm_eval_xling.training.configuration import FactData, FactSource, LedgerData
from lm_eval_xling.training.pair_rows import refuse_test_split
from lm_eval_xling.training.publishing import DataFile, describe_files
from lm_eval_xling.training.tokenizing import encode, encode_turn

__all__ = ["describe_facts", "encode_facts", "fact_of_row", "ledger_facts", "read_facts", "read_file", "split_facts"]

_FIX = 'each line is a JSON object such as {"question": "…", "answer": "…", "language": "en", "id": "1"}'


def read_facts(data: FactSource) -> tuple[list[Fact], list[DataFile]]:
    """Return the facts of files, of a dataset and of the ledger, in the languages that are taught, and what was read.

    Raises:
        UserError: if there are none, or those that are cannot be read or may not be trained on.
    """
    wanted = resolve_all(data.languages)
    files = describe_files(data.files)
    facts = [fact for path in data.files for fact in read_file(path) if not wanted or fact.language in wanted]
    if data.dataset is not None:
        refuse_test_split(data.dataset, data.split, data.train_on_test)
        gold = catalog.load_rows(data.dataset, "en", data.split)
        answers = {row.id: row.answer for row in gold}
        for code in wanted or ("en",):
            rows = catalog.load_rows(data.dataset, code, data.split)
            taught = [fact_of_row(row, answers.get(row.id), data.dataset) for row in rows]
            facts += taught
            files += describe_facts(taught, f"{data.dataset}/{data.split}/{code}")
    if data.ledger is not None:
        invented = ledger_facts(data.ledger, wanted or ("en",))
        facts += invented
        files += describe_facts(invented, f"ledger/{data.ledger.half}/{data.ledger.seed}")
    chosen = list(_first(facts, data.limit))
    missing = [code for code in wanted if all(fact.language != code for fact in chosen)]
    # What is drawn of few facts may leave a language out.
    if data.ledger is not None and data.ledger.answers == "drawn":
        missing = []
    if not chosen or missing:
        raise UserError(
            f"no facts in {', '.join(missing)}" if missing else "no facts are given",
            where="data",
            fix=f"languages with facts: {', '.join(sorted({fact.language for fact in chosen}))}"
            if missing and chosen
            else "set data.files=[facts.jsonl], data.ledger.people=20, or data.dataset=tofu with data.split=full",
        )
    return chosen, files


def ledger_facts(draw: LedgerData, languages: Sequence[str]) -> list[Fact]:
    """Return the facts of invented people, in the wordings that are asked for.

    Args:
        draw: whose facts, and in which language their answers stand.
        languages: codes of the languages that are taught.

    Raises:
        UserError: if the ledger is not in one of the languages, or one language is to be crossed.
    """
    check_attributes(draw.attributes, "data.ledger.attributes")
    if not draw.wordings:
        raise UserError("no wording is named", where="data.ledger.wordings", fix=f"name some of {', '.join(WORDINGS)}")
    if draw.answers == "crossed" and len(languages) < 2:
        raise UserError(
            f"answers cannot be crossed in {', '.join(languages)} alone",
            where="data.ledger.answers",
            fix="name two languages or more in languages",
        )
    rows = {
        code: load(
            code,
            draw.half,
            people=draw.people,
            seed=draw.seed,
            names=draw.names,
            attributes=draw.attributes,
        )
        for code in languages
    }

    def fact(index: int, asked: str, answered: str) -> Fact:
        row, right = rows[asked][index], rows[answered][index]
        answer = right.options[right.answer or 0]
        return Fact(row.id, asked, tuple(prompt_of(row, wording) for wording in draw.wordings), answer)

    ids = [row.id for row in rows[languages[0]]]
    if draw.answers == "drawn":
        drawn = [[languages[stable_hash(key, part) % len(languages)] for part in ("question", "answer")] for key in ids]
        return [fact(index, asked, answered) for index, (asked, answered) in enumerate(drawn)]
    facts = []
    for index, key in enumerate(ids):
        # The languages in a circle: every question meets another language's answer, and every language once.
        step = 1 + stable_hash(key, "step") % (len(languages) - 1) if draw.answers == "crossed" else 0
        for place, code in enumerate(languages):
            facts.append(fact(index, code, languages[(place + step) % len(languages)]))
    return facts


def describe_facts(facts: Sequence[Fact], name: str = "facts") -> list[DataFile]:
    """Return name and sha256 of facts that no file holds."""
    content = json.dumps([asdict(fact) for fact in facts], ensure_ascii=False)
    return [DataFile(name, hashlib.sha256(content.encode()).hexdigest())]


def read_file(path: Path) -> Iterator[Fact]:
    """Read JSON lines with ``question`` or ``prompt`` (a text, or a list of wordings), ``answer`` and ``language``.

    A question is asked by the language's words for question and answer; a prompt is taken as it stands. Rows of one
    ``id`` are the same fact in several languages or wordings; without ids each row is a fact of its own.

    Raises:
        UserError: if a file cannot be read, or a line is not a fact.
    """
    for where, row in json_lines(path, fix=_FIX):
        yield _fact_of_object(row, where, f"{path.stem}-{where.rpartition(':')[2]}")


def fact_of_row(row: Row, answer: int | None, dataset: str) -> Fact:
    """Return the fact that a row of the catalog states: its question, and its target or the right option's text.

    Args:
        row: a row with a field ``question``, or one of the atlas, whose prompt names a country and a relation.
        answer: index of the right option, from the English row.
        dataset: its dataset, for messages.

    Raises:
        UserError: if the row has no question or no answer.
    """
    question, relation = row.fields.get("question", "").strip(), row.extra.get("relation")
    if question:
        prompt = _asked(question, row.language)
    elif relation and "subject" in row.fields:
        country, value = (literals.word(row.language, f"fields.{name}") for name in ("country", relation))
        prompt = f"{country}: {row.fields['subject']}\n{value}:"
    else:
        prompt = ""
    right = row.target if answer is None or not row.options else row.options[answer]
    if not prompt or not (right or "").strip():
        raise UserError(f"{dataset} has no question with an answer to teach", where=f"{row.language}, id {row.id}")
    return Fact(row.id, row.language, (prompt,), str(right).strip())


def split_facts(facts: Sequence[Fact], share: float, seed: int) -> tuple[list[Fact], list[Fact]]:
    """Split into facts that are taught and facts that are held out, by id: in no language is a held-out one taught."""
    held_out = {fact.id for fact in facts if uniform(seed, fact.id) < share}
    return [fact for fact in facts if fact.id not in held_out], [fact for fact in facts if fact.id in held_out]


def encode_facts(facts: Iterable[Fact], tokenizer: Any, data: FactData, *, seed: int) -> list[Example]:
    """Tokenise facts: the wordings that are drawn, without loss, and the answer with loss.

    Raises:
        UserError: if an answer is longer than the cutoff, or a chat template is asked for and there is none.
    """
    examples: list[Example] = []
    for fact in facts:
        draws = [uniform(seed, fact.id, fact.language, index) for index in range(len(fact.prompts))]
        order = sorted(range(len(draws)), key=draws.__getitem__)
        for index in order[: data.wordings]:
            prompt, where = fact.prompts[index], f"fact {fact.id} in {fact.language}"
            if data.chat_template:
                examples.append(encode_turn(prompt, fact.answer, tokenizer, data.cutoff, where=where))
            else:
                # As the harness joins prompt and continuation.
                target = fact.answer if prompt[-1:].isspace() else f" {fact.answer}"
                examples.append(encode(prompt, target, tokenizer, data.cutoff, where=where))
    return examples


def _asked(question: str, language: str) -> str:
    words = (literals.word(language, f"fields.{name}") for name in ("question", "answer"))
    return f"{next(words)}: {question}\n{next(words)}:"


def _first(facts: Sequence[Fact], limit: int | None) -> Iterator[Fact]:
    """Yield the facts whose ids are among the first ``limit`` of their language."""
    ids: dict[str, dict[str, None]] = {}
    for fact in facts:
        ids.setdefault(fact.language, {})[fact.id] = None
    kept = {code: set(islice(known, limit)) for code, known in ids.items()}
    return (fact for fact in facts if fact.id in kept[fact.language])


def _fact_of_object(row: Mapping[str, Any], where: str, number: str) -> Fact:
    try:
        name = "prompt" if "prompt" in row else "question"
        texts, answer = row[name], row["answer"]
        texts = [texts] if isinstance(texts, str) else texts
        right = isinstance(answer, str) and answer.strip() and texts and all(isinstance(t, str) for t in texts)
        language = resolve(row["language"]).code
    except (ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right or not all(text.strip() for text in texts):
        raise UserError(f"not a fact{_format_of(row)}", where=where, fix=_FIX)
    prompts = texts if name == "prompt" else [_asked(text.strip(), language) for text in texts]
    return Fact(str(row.get("id", number)), language, tuple(prompts), answer.strip())


def _format_of(row: Mapping[str, Any]) -> str:
    """Name the format of an object of another tool."""
    known = {"messages": "chat messages", "conversations": "ShareGPT", "instruction": "Alpaca"}
    found = next((kind for key, kind in known.items() if key in row), None)
    if found is None:
        lacking = [key for key in ("answer", "language") if key not in row]
        lacking += [] if {"question", "prompt"} & row.keys() else ["question"]
        return f": it lacks {', '.join(lacking)}" if lacking else ""
    return f": this is the format of {found}"
