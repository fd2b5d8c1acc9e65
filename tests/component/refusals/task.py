"""What is refused of `spec.model.task` beside the rest of a spec: a patch of the smallest good object, and words of the refusal."""

_BASE = "model: {task: %s}"
_CANARY = "strategy: Canary, steps: [{weight: 10, analysis: true}]"
_ANALYSIS = "rollout: {%s, analysis: {metrics: [%s]}}"
_EXPERIMENT = (
    "arms: [{name: a, weight: 50}, {name: b, weight: 50, overrides: {engine: {args: {seed: 1}}}}], "
    "experiment: {control: a, maxDuration: 1d, minimumEffectPercent: 5, metrics: [%s]}"
)
_ELSEWHERE = (
    "spec: {model: {task: Embed, source: 'external://m'}, "
    "engine: {name: external, external: {baseURL: 'https://host/v1'}}}"
)


def _spec(task: str, more: str = "") -> str:
    return f"spec: {{{_BASE % task}{', ' if more else ''}{more}}}"


REFUSED = {
    "an unknown task": (_spec("Translate"), 'spec.model.task: Unsupported value: "Translate"'),
    "the flag runner": (
        _spec("Embed", "engine: {args: {runner: pooling}}"),
        "spec.engine.args cannot contain runner or convert with spec.model.task",
    ),
    "the flag convert": (
        _spec("Generate", "engine: {args: {convert: embed}}"),
        "spec.engine.args cannot contain runner or convert with spec.model.task",
    ),
    "an API elsewhere": (
        _ELSEWHERE,
        "spec.model.task cannot be set with spec.engine.name external",
    ),
    "a task that is not simulated": (
        _spec("Rerank", "engine: {name: simulated}"),
        "spec.model.task must be Generate with spec.engine.name transformers, and Generate or Embed with simulated.",
    ),
    "a task that transformers has not": (
        _spec("Embed", "engine: {name: transformers}"),
        "spec.model.task must be Generate with spec.engine.name transformers, and Generate or Embed with simulated.",
    ),
    "a system text": (
        _spec("Embed", "prompt: {system: Be brief.}"),
        "spec.prompt.system is for models that generate",
    ),
    "questions": (
        _spec("Embed", "rollout: {evaluation: {golden: {configMapRef: {name: a}}}}"),
        "spec.rollout.evaluation asks questions",
    ),
    "a target of ttft": (
        _spec("Embed", "scaling: {maxReplicas: 2, targets: {ttft: {milliseconds: 500}}}"),
        "spec.scaling.targets can only have e2e with this spec.model.task",
    ),
    "a target of itl": (
        _spec(
            "Rerank",
            "scaling: {maxReplicas: 2, targets: {e2e: {milliseconds: 500}, itl: {milliseconds: 50}}}",
        ),
        "spec.scaling.targets can only have e2e with this spec.model.task",
    ),
    "a metric of tokens": (
        _spec("Classify", _ANALYSIS % (_CANARY, "{name: outputTokens, tokens: 500}")),
        "spec.rollout.analysis and spec.experiment can only be errorRate, e2e and feedback",
    ),
    "an experiment on first tokens": (
        _spec("Embed", _EXPERIMENT % "{name: ttft, milliseconds: 500}"),
        "spec.rollout.analysis and spec.experiment can only be errorRate, e2e and feedback",
    ),
    "a shadow of what has no text": (
        _spec("Rerank", "rollout: {shadow: {minAgreementPercent: 90}}"),
        "spec.rollout.shadow compares texts and embeddings",
    ),
}

ACCEPTED = {
    f"a model that does {task}": _spec(task)
    for task in ("Generate", "Embed", "Rerank", "Classify", "Reward")
} | {
    "a model whose user sets the flags": (
        "spec: {engine: {args: {runner: pooling, convert: embed}}, prompt: {system: Hi}}"
    ),
    "a task with all that a chat has": _spec(
        "Generate",
        "prompt: {system: Hi}, rollout: {strategy: BlueGreen, shadow: {minAgreementPercent: 90}}",
    ),
    "an embedder with a canary": _spec(
        "Embed",
        "engine: {name: simulated}, prompt: {defaults: {dimensions: 8}}, "
        "scaling: {maxReplicas: 2, targets: {e2e: {milliseconds: 500}}}, "
        f"rollout: {{{_CANARY}, shadow: {{minAgreementPercent: 95}}, "
        "analysis: {metrics: [{name: errorRate}, {name: e2e, milliseconds: 500}]}}",
    ),
    "an experiment with an embedder": _spec(
        "Embed", _EXPERIMENT % "{name: e2e, milliseconds: 500}"
    ),
}
"""What stands beside the refused and is not."""
