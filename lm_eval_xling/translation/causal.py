"""A causal model as translator: few-shot prompt, through the harness's model classes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.models import loading, model_path
from lm_eval_xling.translation.parallel_texts import read_parallel
from lm_eval_xling.translation.translator import Translator, unsupported

__all__ = ["CausalTranslator", "few_shot_prompt"]

_CONNECTION = frozenset(
    [
        *("base_url", "api_key", "header", "verify_certificate"),
        *("num_concurrent", "max_retries", "timeout", "batch_size", "max_batch_size", "device"),
    ]
)
"""Arguments that say how a model is reached and run, not which it is: no address or key is kept."""

_FIX = "llm:hf,pretrained=FOLDER or another model class of lm_eval with its model_args"

# Plain sentences written for this project; languages without them need examples=FILE.
_EXAMPLES = {
    "en": (
        "The train leaves at seven in the morning.",
        "She has lived in this city for ten years.",
        "Where are my keys?",
    ),
    "fr": (
        "Le train part à sept heures du matin.",
        "Elle vit dans cette ville depuis dix ans.",
        "Où sont mes clés ?",
    ),
    "de": (
        "Der Zug fährt um sieben Uhr morgens ab.",
        "Sie wohnt seit zehn Jahren in dieser Stadt.",
        "Wo sind meine Schlüssel?",
    ),
    "es": (
        "El tren sale a las siete de la mañana.",
        "Ella vive en esta ciudad desde hace diez años.",
        "¿Dónde están mis llaves?",
    ),
    "it": (
        "Il treno parte alle sette del mattino.",
        "Lei vive in questa città da dieci anni.",
        "Dove sono le mie chiavi?",
    ),
    "nl": (
        "De trein vertrekt om zeven uur 's ochtends.",
        "Zij woont al tien jaar in deze stad.",
        "Waar zijn mijn sleutels?",
    ),
    "pt": (
        "O comboio parte às sete da manhã.",
        "Ela vive nesta cidade há dez anos.",
        "Onde estão as minhas chaves?",
    ),
    "ru": (
        "Поезд отправляется в семь утра.",
        "Она живёт в этом городе десять лет.",
        "Где мои ключи?",
    ),
    "sv": (
        "Tåget går klockan sju på morgonen.",
        "Hon har bott i den här staden i tio år.",
        "Var är mina nycklar?",
    ),
    "zh": (
        "火车早上七点出发。",
        "她在这个城市住了十年。",
        "我的钥匙在哪里？",
    ),
}


def few_shot_prompt(text: str, source: str, target: str, examples: Mapping[str, Sequence[str]]) -> str:
    """Return the prompt: pairs of lines, each after the English name of its language, then the text's.

    Args:
        text: to be translated.
        source: its language code.
        target: language code of the translation.
        examples: parallel texts by language code.
    """
    names = (LANGUAGES[source].name, LANGUAGES[target].name)
    shots = zip(examples[source], examples[target], strict=True)
    blocks = [f"{names[0]}: {first}\n{names[1]}: {second}\n\n" for first, second in shots]
    return "".join(blocks) + f"{names[0]}: {text}\n{names[1]}:"


class CausalTranslator(Translator):
    """``llm:MODEL,key=value,…`` with a model class of the harness and its arguments.

    ``llm:hf,pretrained=google/gemma-3-1b-pt,dtype=bfloat16``, ``llm:vllm,pretrained=…`` or
    ``llm:local-completions,model=…,base_url=…``. Own arguments: ``examples=FILE`` (parallel texts as
    ``read_parallel`` reads them; the first five are shown) and ``max_tokens`` (256). A refused translation is asked
    for again at temperature 0.7 with a fixed seed where the model class has one.
    """

    attempts = 2
    batch = 64

    def __init__(self, argument: str) -> None:
        self.kind, _, arguments = argument.partition(",")
        given = dict(part.partition("=")[::2] for part in arguments.split(",") if part)
        self.examples = given.pop("examples", None)
        tokens = given.pop("max_tokens", "256")
        if not tokens.isdigit() or int(tokens) < 1:
            raise UserError(f"max_tokens is {tokens!r}", where=f"llm:{argument}", fix="give a positive number")
        self.max_tokens = int(tokens)
        self.arguments = ",".join(f"{key}={value}" for key, value in given.items())
        self._model: Any = None

    def _shots(self, source: str, target: str) -> dict[str, list[str]]:
        if self.examples is not None:
            texts = read_parallel(self.examples, (source, target))
            known: Mapping[str, Sequence[str]] = {code: lines[:5] for code, lines in texts.items()}
        else:
            known = _EXAMPLES
        for code in (source, target):
            if code not in known:
                raise unsupported(
                    f"llm:{self.kind}",
                    source,
                    target,
                    fix=f"examples=FILE with {LANGUAGES[code].name}; built-in examples: {', '.join(_EXAMPLES)}",
                )
        return {code: list(known[code]) for code in (source, target)}

    def identity(self, source: str, target: str) -> str:
        """Return the model's name and a hash of its arguments and the examples.

        A folder counts with its files' sizes and dates; where a server is and what opens it do not.
        """
        given = [part for part in self.arguments.split(",") if part.partition("=")[0] not in _CONNECTION]
        values = dict(part.partition("=")[::2] for part in given)
        model = values.get("pretrained") or values.get("model") or ""
        content = json.dumps([self._shots(source, target), self.max_tokens, given, _state(self.arguments)])
        digest = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
        return f"llm:{self.kind},{Path(model).name if Path(model).exists() else model}:{digest}"

    def check(self, source: str, target: str) -> None:
        """Look for examples and the model class; the model itself is loaded where it is used, after a fork."""
        self._shots(source, target)
        self._model_class()

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Complete one prompt a text, up to the end of the line."""
        from lm_eval.api.instance import Instance

        shots = self._shots(source, target)
        generation: dict[str, Any] = {"until": ["\n"], "max_gen_toks": self.max_tokens, "do_sample": attempt > 0}
        generation["temperature"] = 0.7 if attempt else 0.0
        if attempt:
            _seed(attempt)
        requests = [
            Instance("generate_until", {}, (few_shot_prompt(text, source, target, shots), dict(generation)), index)
            for index, text in enumerate(texts)
        ]
        outputs = self._load().generate_until(requests, disable_tqdm=True)
        return [output.split("\n")[0].strip() for output in outputs]

    def _model_class(self) -> Any:
        from lm_eval.api.registry import get_model

        with loading(self._where, fix=_FIX):
            return get_model(self.kind)

    def _load(self) -> Any:
        if self._model is None:
            arguments = ",".join(
                f"{key}={model_path(value) if key == 'pretrained' else value}"
                for key, _, value in (part.partition("=") for part in self.arguments.split(",") if part)
            )
            with loading(self._where, fix=_FIX):
                self._model = self._model_class().create_from_arg_string(arguments)
        return self._model

    @property
    def _where(self) -> str:
        return f"llm:{self.kind},{self.arguments}"


def _seed(attempt: int) -> None:
    import torch

    torch.manual_seed(attempt)


def _state(arguments: str) -> list[tuple[str, int, int]]:
    """Name, size and date of the files of every folder among the arguments."""
    found = []
    for part in arguments.split(","):
        folder = Path(part.partition("=")[2]).expanduser()
        if part.partition("=")[2] and folder.is_dir():
            for path in sorted(folder.iterdir()):
                stat = path.stat()
                found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return found
