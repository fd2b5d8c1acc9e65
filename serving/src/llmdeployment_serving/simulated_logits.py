"""The language model of the simulated engine, for the self-test: how often each token is in the text, and faults of its logits."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from llmdeployment_serving.score import Score

Logits = Sequence[float]

_SCALE = 0.5

FAULTS: Mapping[str, Callable[[Logits], Logits]] = {
    "": lambda logits: logits,
    "scale": lambda logits: [_SCALE * logit for logit in logits],
    "permute": lambda logits: [*logits[1:], logits[0]],
    "nan": lambda logits: [math.nan for _ in logits],
}
"""What may be wrong with logits, by name; the first is nothing."""


def score_words(tokens: Sequence[int], fault: str = "") -> Score:
    """Return the score of a text by the model p(token) = exp(logit) / sum of exp(logits), with logit = ln(how often it is there).

    >>> round(score_words([0, 0, 0, 1]).mean, 4) == round((2 * math.log(3 / 4) + math.log(1 / 4)) / 3, 4)
    True
    """
    counts = Counter(tokens)
    known = sorted(counts)
    logits = FAULTS[fault]([math.log(counts[token]) for token in known])
    total = math.log(math.fsum(map(math.exp, logits)))
    logprobs = {token: logit - total for token, logit in zip(known, logits, strict=True)}
    return Score(tuple(tokens), tuple(logprobs[token] for token in tokens[1:]))
