"""Reads the output of this process and its children, to find the reason of a failed start.

vLLM's engine is a separate process. If it does not start, the parent raises "Engine core initialization failed. See root cause
above", and the root cause (too little memory for the KV cache, an unsupported model) is only in the child's output.
"""

import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_error = re.compile(r"\b(?:\w+\.)*\w*(?:Error|Exception): (?P<sentence>\S.*)")
_kept_lines = 2000


@contextmanager
def watch_output() -> Iterator[deque[str]]:
    """Copy file descriptors 1 and 2, which children inherit, through a pipe; yield their last lines, which grow meanwhile."""
    lines: deque[str] = deque(maxlen=_kept_lines)
    originals = {number: os.dup(number) for number in (1, 2)}
    copiers = []
    for number, original in originals.items():
        reader, writer = os.pipe()
        os.dup2(writer, number)
        os.close(writer)
        copier = threading.Thread(target=_copy, args=(reader, original, lines), daemon=True)
        copier.start()
        copiers.append(copier)
    try:
        yield lines
    finally:
        # why: running children keep the pipes open, so the copiers continue and nobody waits for them.
        for number, original in originals.items():
            os.dup2(original, number)


def find_first_error(lines: deque[str]) -> str | None:
    """Return the sentence of the first exception in `lines`; later ones are its consequences."""
    for line in list(lines):
        if found := _error.search(line):
            return found["sentence"].strip()
    return None


def _copy(reader: int, original: int, lines: deque[str]) -> None:
    with os.fdopen(reader, "rb", buffering=0) as source:
        rest = b""
        while data := source.read(65536):
            os.write(original, data)
            *complete, rest = (rest + data).split(b"\n")
            lines.extend(line.decode(errors="replace") for line in complete)
    os.close(original)
