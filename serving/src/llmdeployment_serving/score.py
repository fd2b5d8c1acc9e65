"""A score of the self-test: what an engine thinks of a text."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """An engine's log-likelihoods of a text.

    Attributes:
        tokens: the text as the engine's own tokenizer gives it, at least two tokens.
        logprobs: of each token after the first, given those before it; in nats.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean log-likelihood per token.

        >>> Score((5, 3, 8), (-1.0, -3.0)).mean
        -2.0
        """
        return math.fsum(self.logprobs) / len(self.logprobs)
