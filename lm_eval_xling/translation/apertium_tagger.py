"""``apertium-tagger`` as a program that answers each text as a new process of it would, but seldom starts one.

The tagger of Apertium keeps what it learns of a text: a set of readings that its model does not have ("known" as
adjective or participle) becomes a new class, which changes how later texts are read. It says so on its error output
under ``-d``, always before it gives out the text. After such a text, and only then, this program starts it anew.
Taggers of other kinds than the first-order model say nothing, and get a new process for every text.

Run as a file, without the package, so that it starts in hundredths of a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from threading import Thread
from typing import IO

__all__ = ["answers", "texts"]

_PROGRAM = "apertium-tagger"
_OTHER_KINDS = frozenset("xuw")
"""Options of one letter: perceptron, unigrams, sliding window."""
_LONG_OTHER_KINDS = ("--perceptron", "--unigram", "--sliding-window")
_LEARNT = b"new ambiguity class"


class _Tagger:
    """A running tagger."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [_PROGRAM, "-d", "-z", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)

    def answer(self, text: bytes) -> tuple[bytes, bool]:
        """Tag a text, and say whether the tagger is another one after it."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        # Beside the reading: a long text fills the pipes in both directions.
        writing = Thread(target=_write, args=(self._process.stdin, text + b"\n\0"))
        writing.start()
        found = next(texts(self._process.stdout), None)
        writing.join()
        said = self._process.stderr.read() or b""
        if found is None:
            sys.stderr.buffer.write(said)
            raise SystemExit(self._process.wait() or 1)
        return found, _LEARNT in said

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()


def _write(stream: IO[bytes], text: bytes) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        pass  # The reading side notices that the process ended.


def texts(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what stands before each null byte, as soon as it is there."""
    rest = b""
    while part := os.read(stream.fileno(), 1 << 16):
        *whole, rest = (rest + part).split(b"\0")
        yield from whole


def answers(arguments: list[str], stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the tagged form of each text of a stream.

    Args:
        arguments: of the tagger.
        stream: texts in Apertium's stream format, each ended by a null byte.
    """
    arguments = [argument for argument in arguments if argument not in ("", "-z", "--null-flush")]
    letters = {letter for word in arguments if word[:1] == "-" and word[:2] != "--" for letter in word[1:]}
    if letters & _OTHER_KINDS or any(word.startswith(_LONG_OTHER_KINDS) for word in arguments):
        for text in texts(stream):
            yield subprocess.run([_PROGRAM, *arguments], input=text + b"\n", stdout=subprocess.PIPE, check=True).stdout
        return
    tagger: _Tagger | None = None
    for text in texts(stream):
        tagger = tagger or _Tagger(arguments)
        found, learnt = tagger.answer(text)
        yield found
        if learnt:
            tagger.stop()
            tagger = None
    if tagger is not None:
        tagger.stop()


if __name__ == "__main__":
    for tagged in answers(sys.argv[1:], sys.stdin.buffer):
        sys.stdout.buffer.write(tagged + b"\0")
        sys.stdout.buffer.flush()
