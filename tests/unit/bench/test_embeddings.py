"""What the bench of embeddings asks and sums up."""

import doctest

from bench import embeddings


def test_examples() -> None:
    assert doctest.testmod(embeddings).failed == 0
    assert doctest.testmod(embeddings).attempted
