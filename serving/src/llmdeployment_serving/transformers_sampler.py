"""Chooses the next tokens of `engine: transformers`, for each request as it asks.

The continuous batching of transformers 5.19 takes one `do_sample` for all requests, and its processors for single requests sort the
vocabulary of every row in every step. So the engine lets it take the most likely token, and this list of processors decides which one
that is. Greedy rows stay as they are. A row that is drawn becomes zero at the drawn token and minus infinity elsewhere.

A draw is the Gumbel-max trick: with G(i) = -ln(E(i)) and E(i) from the exponential distribution,

    argmax over i of (logits(i) / temperature + G(i))    is token i with probability softmax(logits / temperature)(i)

A request with a seed gets its noise from a generator of the seed and the position alone, so its answer does not depend on the batch.
"""

from collections.abc import Sequence
from typing import Any

import torch

from llmdeployment_serving.transformers_request import Sampling

KEY = "sampling"
"""The argument of a request that holds its `Sampling`."""
_seeds = 2**63


class Sampler:
    """Stands where transformers has its `ContinuousBatchingLogitsProcessorList`.

    It keeps what a step needs on the host, between the preparation of a batch and its forward pass. CUDA graphs would freeze that,
    so they are off.
    """

    tensors_required = 0
    do_processing = True

    def __init__(self) -> None:
        self._rows: list[tuple[Sampling, int]] = []

    def check_kwargs(self, kwargs: dict[str, Any]) -> None:
        """Take any request: `transformers_request` has checked it."""

    def fill_defaults(self, arguments: Any) -> None:  # noqa: ANN401  # because torch has no types here
        """Fill nothing: no tensors are required."""

    def prepare_tensor_args(self, requests_in_batch: Sequence[Any], arg_storage: Any) -> Any:  # noqa: ANN401  # because transformers has no types here
        """Note how the tokens of the next step are chosen: one row for each request that gets a token."""
        self._rows = [
            (each.state.logit_processor_kwargs[KEY], each.state.position_offset)
            for each in requests_in_batch
            if each.has_new_token
        ]
        return arg_storage

    def __call__(self, _: Any, scores: Any, __: Any) -> Any:  # noqa: ANN401  # because torch has no types here
        """Return `scores` with the drawn token of each row as its most likely one.

        Args:
            _: the last token of each row.
            scores: logits in float32, [rows, vocabulary].
            __: nothing.
        """
        drawn = [row for row, (how, _) in enumerate(self._rows) if how.temperature > 0]
        if not drawn:
            return scores
        logits = scores if len(drawn) == scores.size(0) else scores[drawn]
        tokens = draw(logits, [self._rows[row] for row in drawn])
        rows = torch.tensor(drawn, device=scores.device)
        scores[rows] = -torch.inf
        scores[rows, tokens] = 0.0
        return scores


def draw(logits: Any, rows: Sequence[tuple[Sampling, int]]) -> Any:  # noqa: ANN401  # because torch has no types here
    """Return one token for each row.

    Args:
        logits: float32, [rows, vocabulary].
        rows: of each row how it is drawn, and its position in its text.
    """
    scaled = logits / _make_column([how.temperature for how, _ in rows], logits)
    scaled = _keep_top_k(scaled, [how.top_k for how, _ in rows])
    scaled = _keep_min_p(scaled, [how.min_p for how, _ in rows])
    scaled = _keep_top_p(scaled, [how.top_p for how, _ in rows])
    return (scaled - _draw_exponential(scaled, rows).log()).argmax(dim=-1)


def _keep_top_k(scaled: Any, limits: list[int]) -> Any:  # noqa: ANN401  # because torch has no types here
    vocabulary = scaled.size(-1)
    limits = [min(limit, vocabulary) or vocabulary for limit in limits]
    used = [limit for limit in limits if limit < vocabulary]
    if not used:
        return scaled
    highest = scaled.topk(max(used), dim=-1).values
    places = _make_column([min(limit, max(used)) - 1 for limit in limits], scaled).long()
    least = highest.gather(-1, places)
    every = _make_column([float(limit == vocabulary) for limit in limits], scaled) > 0
    return scaled.masked_fill((scaled < least) & ~every, -torch.inf)


def _keep_min_p(scaled: Any, shares: list[float]) -> Any:  # noqa: ANN401  # because torch has no types here
    """Drop tokens below a share of the most likely one: ln(p / highest p) is the difference of their logits."""
    if not any(shares):
        return scaled
    least = scaled.amax(dim=-1, keepdim=True) + _make_column(shares, scaled).log()
    return scaled.masked_fill(scaled < least, -torch.inf)


def _keep_top_p(scaled: Any, shares: list[float]) -> Any:  # noqa: ANN401  # because torch has no types here
    """Drop tokens before which the more likely ones already have the share together; the first one always stays."""
    if min(shares) >= 1.0:
        return scaled
    ordered, places = scaled.sort(dim=-1, descending=True)
    chances = ordered.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    # A sum of rounded numbers may reach 1 early, and 1 keeps all.
    limits = _make_column([2.0 if share >= 1.0 else share for share in shares], scaled)
    dropped = before >= limits
    dropped[:, 0] = False
    return scaled.masked_fill(dropped.scatter(-1, places, dropped), -torch.inf)


def _draw_exponential(scaled: Any, rows: Sequence[tuple[Sampling, int]]) -> Any:  # noqa: ANN401  # because torch has no types here
    noise = torch.empty_like(scaled)
    if any(how.seed is None for how, _ in rows):
        noise.exponential_()
    for place, (how, position) in enumerate(rows):
        if how.seed is not None:
            # Drawn on the CPU, whose generator gives the same numbers on every machine.
            generator = torch.Generator().manual_seed(hash((how.seed, position)) % _seeds)
            own = torch.empty(scaled.size(-1)).exponential_(generator=generator)
            noise[place] = own.to(noise.device)
    return noise.clamp_min_(torch.finfo(noise.dtype).tiny)


def _make_column(values: Sequence[float], like: Any) -> Any:  # noqa: ANN401  # because torch has no types here
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
