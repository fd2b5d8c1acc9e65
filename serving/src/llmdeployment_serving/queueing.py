"""The queueing model behind `engine: simulated`: continuous batching as arithmetic, without a clock.

A GPU engine works in steps. In each step it admits waiting requests while there are free sequence slots, free KV cache and room in the
step's prefill budget; it computes the prompts it admitted; and every running sequence, the new ones included, gets one token. A step with
`n` running sequences and `p` newly admitted prompt tokens takes

    p / prefill_rate  +  (1 / decode_rate - 1 / batch_rate)  +  n / batch_rate      seconds

so one sequence alone decodes at `decode_rate` tokens/s, and many together approach `batch_rate` tokens/s in total: the step has a
fixed part (reading the weights) and a part per sequence. Worked example, the defaults (100 and 2,000 tokens/s): alone a token takes 10 ms;
with 20 sequences a step takes 0.0095 + 20 / 2000 = 19.5 ms, so 51 tokens/s each and 1,026 tokens/s together.

It leaves out on purpose: prefix caching, chunked prefill, preemption (KV cache is reserved whole at admission), speculation, and
everything about the tokens themselves.
"""

from collections import deque
from dataclasses import dataclass

from llmdeployment_serving.config import FlagValue
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.simulated_logits import FAULTS


@dataclass(frozen=True)
class Rates:
    """The model's parameters; `spec.engine.args` sets them with dashes for underscores."""

    prefill_tokens_per_second: float = 20_000.0
    decode_tokens_per_second: float = 100.0
    """Tokens/s of one sequence alone."""
    batch_tokens_per_second: float = 2_000.0
    """Tokens/s that all sequences together approach."""
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 8_192
    """Prompt tokens admitted in one step; a single longer prompt is still admitted alone."""
    kv_cache_tokens: int = 100_000
    max_model_len: int = 8_192
    warm_up_seconds: float = 0.0
    mean_output_tokens: int = 64
    """Mean tokens of answers whose length the client does not set."""
    jitter_percent: float = 0.0
    """Standard deviation of a step's duration, in percent of the duration."""
    error_percent: float = 0.0
    """Percent of requests that end in a 500, for rollouts that must fail."""
    refusal_percent: float = 0.0
    """Percent of answers that refuse, for rollouts that must fail by what the model says."""
    refuse_on: str = ""
    """A word; if not empty, only answers to a prompt that has it refuse. The revision's system prompt is part of the prompt."""
    fail_start: str = ""
    """If not empty, the engine refuses to start with this message."""
    crash_on: str = ""
    """A word; a prompt that has it stops the engine, for tests of what becomes of the others."""
    logits_fault: str = ""
    """`scale`, `permute` or `nan`: what is wrong with the logits of the self-test, for rollouts that must fail."""
    seed: int = 0

    def step_seconds(self, running: int, prompt_tokens: int) -> float:
        """Return the seconds that a step takes; see the module's equation."""
        per_sequence = 1.0 / self.batch_tokens_per_second
        fixed = 1.0 / self.decode_tokens_per_second - per_sequence
        return prompt_tokens / self.prefill_tokens_per_second + fixed + running * per_sequence


def parse_rates(args: dict[str, FlagValue]) -> Rates:
    """Return the parameters in `args`.

    Raises:
        ConfigError: a flag is unknown, a value is not a number, or the numbers do not describe an engine.
    """
    values: dict[str, float | int | str] = {}
    defaults = Rates()
    for flag, value in args.items():
        name = flag.replace("-", "_")
        if not hasattr(defaults, name) or name == "step_seconds":
            raise ConfigError(
                f"the simulated engine has no flag {flag}: remove it from spec.engine.args"
            )
        kind = type(getattr(defaults, name))
        try:
            values[name] = kind(value)
        except ValueError:
            raise ConfigError(f"engine flag {flag}: {value!r} is not a number") from None
    rates = Rates(**values)  # type: ignore[arg-type]  # because each value has its default's type
    if rates.logits_fault not in FAULTS:
        known = ", ".join(fault for fault in FAULTS if fault)
        raise ConfigError(f"engine flag logits-fault: {rates.logits_fault!r} is none of {known}")
    positive = (
        rates.prefill_tokens_per_second,
        rates.decode_tokens_per_second,
        rates.max_num_seqs,
        rates.kv_cache_tokens,
        rates.max_model_len,
        rates.mean_output_tokens,
    )
    if min(positive) <= 0:
        raise ConfigError("the simulated engine needs rates and limits above zero")
    if rates.batch_tokens_per_second < rates.decode_tokens_per_second:
        raise ConfigError(
            "batch-tokens-per-second is below decode-tokens-per-second: it must be at least as high"
        )
    return rates


@dataclass(eq=False)
class Sequence:
    """One request in the engine."""

    prompt_tokens: int
    output_tokens: int
    """Tokens that the answer will have."""
    produced: int = 0

    @property
    def reserved(self) -> int:
        """KV cache tokens that it holds from its admission to its end."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True)
class Step:
    """One step, which takes `seconds`."""

    seconds: float
    admitted: tuple[Sequence, ...]
    sequences: tuple[Sequence, ...]
    """Sequences that get a token at the end of the step."""


class Batch:
    """The engine's queue and running set."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    @property
    def kv_tokens(self) -> int:
        """KV cache tokens that are reserved."""
        return sum(sequence.reserved for sequence in self.running)

    def add(self, sequence: Sequence) -> None:
        """Add `sequence` to the end of the queue."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Remove `sequence` from the batch or the queue; do nothing if it has finished already."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def begin(self) -> Step:
        """Admit the sequences that fit, first come first served, and return the next step. No sequence overtakes the first in the queue."""
        admitted: list[Sequence] = []
        prompt_tokens = 0
        kv_free = self.rates.kv_cache_tokens - self.kv_tokens
        while self.waiting and len(self.running) < self.rates.max_num_seqs:
            head = self.waiting[0]
            over_budget = prompt_tokens + head.prompt_tokens > self.rates.max_num_batched_tokens
            if head.reserved > kv_free or (admitted and over_budget):
                break
            self.waiting.popleft()
            self.running.append(head)
            admitted.append(head)
            prompt_tokens += head.prompt_tokens
            kv_free -= head.reserved
        seconds = self.rates.step_seconds(len(self.running), prompt_tokens)
        return Step(seconds, tuple(admitted), tuple(self.running))

    def end(self, step: Step) -> tuple[Sequence, ...]:
        """Give a token to every sequence of `step` that is still in the batch, and return these sequences."""
        still = set(map(id, self.running))
        served = tuple(sequence for sequence in step.sequences if id(sequence) in still)
        for sequence in served:
            sequence.produced += 1
        self.running = [s for s in self.running if s.produced < s.output_tokens]
        return served
