"""Statements of a written answer: where a text says which option is meant, and which option that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from lm_eval_xling.metrics.answer_words import AnswerWords, answer_words, pattern
from lm_eval_xling.metrics.answers import is_unspaced
from lm_eval_xling.metrics.mentions import CLOSING, OPENING, Mentions, Named, skip

__all__ = ["Statements"]

# Letters that are words in a language of the table, so that a capital may only begin a sentence.
_WORD_LETTERS = frozenset("aeiouyksvwz")

_SENTENCE_END = re.compile(r"[.!?](?=\s|$|[\"')\]”»])|[。！？؟।۔;；\n]")

_BECAUSE = (
    "because since as for weil denn da car parce puisque porque ya pues pois perché poiché omdat eftersom fordi".split()
)


class Statements(Mentions):
    """A written answer and what it states."""

    def __init__(self, text: str, options: Sequence[str], letters: Sequence[str], language: str) -> None:
        super().__init__(text, options, letters)
        self.patterns = _patterns(answer_words(language))

    # Statements -----------------------------------------------------------------------------------------------------

    def statements(self) -> list[tuple[int, frozenset[int]]]:
        """Return position and named options of every statement, in order."""
        lists = self._lists()
        found = [*self._after_words(lists), *self._before_words(), *self._lines(lists)]
        return sorted(found, key=lambda statement: statement[0])

    def _after_words(self, lists: Sequence[tuple[int, int]]) -> list[tuple[int, frozenset[int]]]:
        """Statements like "the answer is B"."""
        found = []
        for match in self.patterns["cue"].finditer(self.folded):
            kind = match.lastgroup
            before = self.folded[: match.start()].rstrip()
            if self.patterns["wrong_before"].search(before[-40:]):
                continue
            position, bound = self._filled(match.end(), kind)
            named = self._here(position, at_start=bound in ("colon", "line"))
            if named is None and kind == "answer":
                # "Answer to the question: B"
                colon = re.match(r"[^\n:.?!。？！]{0,60}[:：]\s*", self.folded[match.end() :])
                if colon and not self.patterns["deny"].search(colon[0]):
                    position, bound = match.end() + colon.end(), "colon"
                    named = self._here(position, at_start=True)
            if named is None:
                continue
            if (
                any(first <= named.start < last for first, last in lists)
                and "\n" in self.folded[match.end() : position]
            ):
                continue
            options = self._joined(named)
            if not options or self._is_denied(named):
                continue
            if bound is None and len(options) == 1 and named.is_letter and not self._stands_alone(named, kind):
                continue
            found.append((named.start, options))
        return found

    def _filled(self, position: int, kind: str | None) -> tuple[int, str | None]:
        """Skip copulas, articles and punctuation; return where they end and what bound the option to the word."""
        bound: str | None = None
        fill = self.patterns["fill"]
        while match := fill.match(self.folded, position):
            if match.end() == position:
                break
            piece = match[0]
            article = self.letter(position, free=True) if len(piece) == 1 else None
            if article and (article.is_strict or article.is_capital):
                # An answer, not the article of "a resposta é a B".
                break
            if kind == "correct" and ("\n" in piece or piece.strip() in ("-", "–", "—")):
                break
            if match.lastgroup == "mark" and self.option(position, free=True):
                # The option itself begins so: -1.
                break
            if match.lastgroup == "binding":
                bound = bound or "word"
            elif match.lastgroup == "correct" or (match.lastgroup == "noun" and kind == "correct"):
                bound = bound or "word"
            elif piece.strip():
                bound = "colon" if match.lastgroup == "mark" else bound
            elif "\n" in piece:
                bound = bound or "line"
            position = match.end()
        return position, bound

    def _here(self, position: int, at_start: bool) -> Named | None:
        """Return what is named at a position: an option by its text or its letter."""
        option, letter = self.option(position, free=True), self.letter(position, free=True)
        if letter and (option is None or option.end <= letter.end):
            if self._is_letter(letter, at_start):
                return letter
        return option

    def _is_letter(self, letter: Named, at_start: bool) -> bool:
        """Whether a letter at the place of an answer can be meant as one."""
        if letter.is_strict or letter.is_marked:
            return True
        if not letter.is_capital:
            return False
        own = self.option(skip(self.folded, letter.end, " \t"))
        if own and own.index == letter.index:
            return True
        form = self.folded[letter.start : letter.end].strip(OPENING + CLOSING)
        if form.isdigit() or (at_start and form in _WORD_LETTERS):
            return self.patterns["goes_on"].match(self.folded, letter.end) is not None
        return True

    def _stands_alone(self, named: Named, kind: str | None) -> bool:
        """Whether "Option B", "answer B", with nothing to bind them, is a statement and no mention of an option."""
        rest = self.folded[named.end : named.end + 60]
        if re.match(r"\s*(?:$|\n|[.!。！।۔](?:\s|$)|[)\]}\"”»]*\s*(?:$|\n)|[:(–—-])", rest) and kind != "option":
            return True
        if re.match(r"\s*(?:[.!。！]?\s*$)", rest):
            return True
        if self.patterns["affirmed"].match(self.folded, named.end):
            return True
        # Verb-final languages: "پاسخ B است."
        ending = self.patterns["ending"].match(self.folded, named.end)
        return ending is not None and re.match(r"\s*(?:$|[\n.!。।۔,،])", self.folded[ending.end() :]) is not None

    def _joined(self, named: Named) -> frozenset[int]:
        """Return the options that a statement names: more than one where others follow with "or", "and", a comma."""
        indices = {named.index}
        position = named.end
        if named.is_letter:
            # "B. Paris", "B (Paris)", "B: Paris"
            follows = self.option_behind(position)
            if follows and follows.index == named.index:
                position = follows.end
            elif follows and not self.letter(follows.start, free=True):
                # A letter and the text of another option; but a new sentence may be on another option.
                if re.match(r"\s*(?:$|\n|[.)!。！।])", self.folded[follows.end :]):
                    return frozenset((named.index, follows.index))
        while True:
            joint = self.patterns["joint"].match(self.folded, position)
            if joint is None:
                break
            letter = self.letter(joint.end(), free=True)
            following = letter if letter and (letter.is_capital or letter.is_strict) else self.option(joint.end(), True)
            if following is None or self.patterns["clause"].match(self.folded, following.end):
                break
            indices.add(following.index)
            position = following.end
        return frozenset(indices)

    def _is_denied(self, named: Named) -> bool:
        """Whether a negation stands after what is named, as verb-final languages have it, or a question mark."""
        end = _SENTENCE_END.search(self.folded, named.end)
        rest = self.folded[named.end : end.start() if end else len(self.folded)]
        # A comma ends the clause: "the answer is B, not A".
        clause = re.split(r"[,，、،]", rest)[0][:40]
        if self.patterns["not_after"].search(clause):
            return True
        return end is not None and end[0] in "?？؟" and len(rest) < 60

    def _before_words(self) -> list[tuple[int, frozenset[int]]]:
        """Statements like "B is correct", "B. Paris is the correct answer", "Bが正解です"."""
        found = []
        for named in self.mentions:
            after = named.end
            if named.is_letter:
                own = self.option(skip(self.folded, after, " .):：-"))
                if own and own.index == named.index:
                    after = own.end
            match = self.patterns["predicate"].match(self.folded, after)
            if match is None or self._is_denied(Named(named.index, 0, match.end(), False, False, True, True)):
                continue
            if self.patterns["not_before"].search(self.folded[max(0, named.start - 12) : named.start].rstrip()):
                continue
            sentence_end = _SENTENCE_END.search(self.folded, match.end())
            rest = self.folded[match.end() : sentence_end.start() if sentence_end else len(self.folded)]
            if self.patterns["conditional"].match(rest):
                continue
            found.append((named.start, frozenset((named.index,)) | self._joined_before(named)))
        return found

    def _joined_before(self, named: Named) -> frozenset[int]:
        """Return the options that stand before another with "and" or "or" between them."""
        return frozenset(
            other.index
            for other in self.mentions
            if other.end <= named.start and self.patterns["joint"].fullmatch(self.folded[other.end : named.start])
        )

    def _line(self, start: int, end: int) -> tuple[frozenset[int], bool, bool] | None:
        """Return what a line that is an option names, whether it begins with a letter, and whether it is all of it."""
        bullet = skip(self.folded, start, " \t-–—•")
        position = start if self.option(start) else bullet
        noun = self.patterns["noun"].match(self.folded, position)
        begin = noun.end() if noun else position
        option = self.option(begin)
        letter = self.letter(begin, free=noun is not None)
        if letter and letter.end > end:
            letter = None
        if option and option.end <= end and not (letter and letter.end >= option.end):
            rest = self.folded[option.end : end].strip()
            behind = self.letter(skip(self.folded, option.end, " -–—:,"))
            if behind and behind.is_letter and behind.end <= end and (behind.is_marked or behind.is_strict):
                if not self.folded[behind.end : end].strip(" ."):
                    return frozenset((option.index, behind.index)), False, True
            if not rest.strip(".!。！।"):
                return frozenset((option.index,)), False, True
            if rest[0] in ",;:.!–—-，。、：؛،।" and not noun:
                other = self.option(skip(self.folded, option.end, " ,;:.!–—-，。、：؛،।"))
                joined = self._joined(option) | ({other.index} if other and other.end <= end else set())
                return frozenset(joined), False, False
            return None
        if letter is None:
            return None
        rest = self.folded[letter.end : end]
        if not rest.strip(" .,:;!)。：！।-–—") or self.patterns["ending"].fullmatch(rest):
            return frozenset((letter.index,)), True, True
        closer = re.match(r"\s*[.):：,、\-–—]+\s*|\s+(?=[(\[（])|\s*(?=[(（])", rest)
        own = self.option_behind(letter.end)
        if own and own.end <= end and own.index == letter.index:
            return frozenset((letter.index,)), True, not self.folded[own.end : end].strip(" .!)。")
        if not closer or not letter.is_capital or noun:
            return None
        joined = self._joined(letter)
        if len(joined) > 1:
            return joined, True, False
        if closer[0].strip()[:1] in (",", "、", "-", "–", "—", ""):
            return None
        return joined, True, False

    def _line_spans(self) -> list[tuple[int, int]]:
        return [(match.start(), match.end()) for match in re.finditer(r"[^\n]+", self.folded) if match[0].strip()]

    def _lists(self) -> list[tuple[int, int]]:
        """Spans of lines that repeat or discuss the options one after another, which are no statements."""
        runs: list[list[tuple[int, int, int, bool]]] = []
        last_index, blank_end = -1, 0
        for start, end in self._line_spans():
            line = self._line(start, end)
            lettered = None
            if line is None or len(line[0]) != 1:
                letter = self.letter(skip(self.folded, start, " \t-–—•"))
                if letter and letter.is_capital and re.match(r"\s*[.):：]", self.folded[letter.end - 1 :]):
                    lettered = letter.index
            else:
                (lettered,) = line[0]
            if lettered is None:
                last_index = -1
                continue
            apart = "\n" in self.folded[blank_end:start].replace("\n", "", 1)
            if last_index < 0 or (lettered <= last_index and apart):
                runs.append([])
            runs[-1].append((start, end, lettered, bool(line and line[1])))
            last_index, blank_end = lettered, end
        return [(start, end) for run in runs if len({index for *_, index, _ in run}) > 1 for start, end, *_ in run]

    def _lines(self, lists: Sequence[tuple[int, int]]) -> list[tuple[int, frozenset[int]]]:
        """Statements that are a line of their own: "B", "B. Paris", "Paris"."""
        found = []
        for start, end in self._line_spans():
            if (start, end) in lists:
                continue
            line = self._line(start, end)
            if line is None:
                continue
            options, _, whole = line
            if not whole and self.patterns["deny"].search(self._without_options(start, end)):
                continue
            if "?" in self.folded[start:end] and not whole:
                continue
            found.append((start, options))
        return found

    def _without_options(self, start: int, end: int) -> str:
        kept, position = [], start
        while position < end:
            named = self.option(position)
            if named:
                kept.append(" … ")
                position = named.end
            else:
                kept.append(self.folded[position])
                position += 1
        return "".join(kept)

    # Texts without a statement --------------------------------------------------------------------------------------

    def decided(self) -> int | None:
        """Return the option that the last statement names, or, without statements, the only one that is named."""
        statements = self.statements()
        if not statements:
            return self.only()
        (*_, (position, options)) = statements
        # "Answer: A" and "B" on the next line are one statement of two.
        line = self.folded.rfind("\n", 0, position)
        before = self.folded.rfind("\n", 0, max(line, 0))
        bare = re.fullmatch(r"\W*\w\W*", self.folded[line + 1 :].partition("\n")[0])
        if line > 0 and bare and self.folded[before + 1 : line].strip():
            options = options.union(*(named for start, named in statements if before < start < line))
        return next(iter(options)) if len(options) == 1 else None

    def only(self) -> int | None:
        """Return the one option that a text names at all, or None where it names none, denies it, or names several."""
        indices = set()
        for named in self.mentions:
            if named.is_letter and not self._is_marked(named):
                continue
            if not named.is_letter and not self._is_long(named):
                continue
            sentence = self._sentence(named)
            if self.patterns["deny"].search(sentence) or self._is_denied(named):
                continue
            indices |= {named.index} | self._joined(named) | self._joined_before(named)
        return indices.pop() if len(indices) == 1 else None

    def _sentence(self, named: Named) -> str:
        """Return the sentence around what is named, from its clause on, without the texts of options."""
        starts = [match.end() for match in self.patterns["clause_end"].finditer(self.folded, 0, named.start)]
        end = _SENTENCE_END.search(self.folded, named.end)
        return self._without_options(starts[-1] if starts else 0, end.start() if end else len(self.folded))

    def _is_marked(self, named: Named) -> bool:
        """Whether a letter in a sentence is that of an option: in brackets, after "option", or last after "is"."""
        if named.is_marked and named.is_capital:
            return True
        before = self.folded[: named.start]
        if self.patterns["noun_before"].search(before[-30:]):
            return True
        own = self.option(skip(self.folded, named.end, " .):：-"))
        if own and own.index == named.index:
            return True
        return bool(
            self.patterns["copula_before"].search(before[-30:])
            and re.match(r"\s*(?:$|[\n.!。！।,])", self.folded[named.end :])
        ) or bool(
            self.patterns["joint"].match(self.folded, named.end) and self.patterns["copula_before"].search(before)
        )

    def _is_long(self, named: Named) -> bool:
        """Whether an option's text is long enough not to stand in any sentence by chance, as "no" does."""
        text = self.folded[named.start : named.end]
        size = sum(2 if is_unspaced(character) or "\uac00" <= character <= "\ud7af" else 1 for character in text)
        return size > 3 or any(character.isdigit() for character in text)


class _Patterns(dict[str, re.Pattern[str]]):
    """Expressions by name, compiled when they are first asked for: most answers need few, and each is long."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        super().__init__()
        self._sources = sources

    def __missing__(self, name: str) -> re.Pattern[str]:
        """Compile an expression."""
        self[name] = re.compile(self._sources[name])
        return self[name]


@cache
def _patterns(words: AnswerWords) -> _Patterns:
    joining = pattern(words.joining)
    deny = pattern((*words.wrong, *words.not_before, *words.not_after))
    binding, correct = pattern(words.binding), pattern(words.correct)
    nouns = pattern((*words.option, *words.answer))
    marks = r"[:：=>\]】》\"“”«»„「『（(\[{|→'-]|–|—"
    fill = rf"(?P<binding>{binding})|(?P<noun>{nouns})|(?P<correct>{correct})|(?P<mark>{marks})|\s+"
    sources = {
        "cue": rf"(?P<answer>{pattern(words.answer)})|(?P<choosing>{pattern(words.choosing)})"
        rf"|(?P<correct>{correct})|(?P<option>{pattern(words.option)})(?=\s*[:：])",
        "fill": rf"(?:{fill}|,(?=\s*(?:{binding})))",
        "wrong_before": rf"(?:{pattern((*words.wrong, *words.not_before))})\s*$",
        "deny": deny,
        "not_after": pattern(words.not_after),
        "not_before": rf"(?:{pattern(words.not_before)})\s*$",
        "conditional": rf"\W*(?:{pattern(words.conditional)})",
        "joint": rf"\s*(?:[,/&+،、،]|(?:[,،]\s*)?(?:{joining}))\s*",
        "clause": rf"\s*(?:{binding})",
        "goes_on": rf"\s*(?:{binding}|{correct}|{pattern(_BECAUSE)})",
        "affirmed": rf"\s*(?:(?:{binding})\s*)+(?:{correct}|{pattern(words.answer)})|\s*(?:{correct})",
        "predicate": rf"(?=.)[ \t:：,–—-]*(?:\s*(?:{binding}|{nouns}))*\s*(?:{correct}|{pattern(words.answer)})",
        "clause_end": rf"{_SENTENCE_END.pattern}|[,，、،]",
        "noun": rf"(?:{pattern(words.option)})\s*[:：#]?\s*",
        "noun_before": rf"(?:{nouns})\s*$",
        "copula_before": rf"(?:{binding})\s*,?\s*$",
        "ending": rf"\s*(?:(?:{binding}|{nouns})\s*)+[.!。।]?\s*",
    }
    return _Patterns(sources)
