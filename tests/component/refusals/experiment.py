"""What is refused of `spec.experiment`: a patch of a good object, and the refusal."""

ARMS = "arms: [{name: control, weight: 50}, {name: terse, weight: 50, overrides: {prompt: {system: Short.}}}]"


def _experiment(**changes: str) -> str:
    fields = {
        "control": "control",
        "metrics": "[{name: errorRate}]",
        "minimumEffectPercent": "3",
        "maxDuration": "14d",
        **changes,
    }
    return f"experiment: {{{', '.join(f'{name}: {value}' for name, value in fields.items() if value)}}}"


REFUSED = {
    "an experiment without arms": (
        f"spec: {{{_experiment()}}}",
        "spec.experiment compares arms. Write two arms or more into spec.arms, or remove the experiment.",
    ),
    "an experiment with one arm": (
        f"spec: {{arms: [{{name: control, weight: 100}}], {_experiment()}}}",
        "spec.experiment compares arms. Write two arms or more into spec.arms, or remove the experiment.",
    ),
    "a control that is no arm": (
        f"spec: {{{ARMS}, {_experiment(control='other')}}}",
        "spec.experiment.control must be the name of an arm in spec.arms.",
    ),
    "an effect of nothing": (
        f"spec: {{{ARMS}, {_experiment(minimumEffectPercent='0')}}}",
        "spec.experiment.minimumEffectPercent in body should be greater than or equal to 1",
    ),
    "an effect of more than half": (
        f"spec: {{{ARMS}, {_experiment(minimumEffectPercent='51')}}}",
        "spec.experiment.minimumEffectPercent in body should be less than or equal to 50",
    ),
    "an experiment without an end": (
        f"spec: {{{ARMS}, {_experiment(maxDuration='')}}}",
        "spec.experiment.maxDuration: Required value",
    ),
    "an experiment of 91 days": (
        f"spec: {{{ARMS}, {_experiment(maxDuration='91d')}}}",
        "must be a number of days to 90d, of hours to 2160h or of minutes, such as 14d, 36h or 90m",
    ),
    "an experiment of 2161 hours": (
        f"spec: {{{ARMS}, {_experiment(maxDuration='2161h')}}}",
        "must be a number of days to 90d, of hours to 2160h or of minutes, such as 14d, 36h or 90m",
    ),
    "an experiment of no time": (
        f"spec: {{{ARMS}, {_experiment(maxDuration='0d')}}}",
        "must be a number of days to 90d, of hours to 2160h or of minutes, such as 14d, 36h or 90m",
    ),
    "an experiment of nothing": (
        f"spec: {{{ARMS}, {_experiment(metrics='[]')}}}",
        "spec.experiment.metrics in body should have at least 1 items",
    ),
    "an experiment with a metric twice": (
        f"spec: {{{ARMS}, {_experiment(metrics='[{name: errorRate}, {name: errorRate}]')}}}",
        "Duplicate value",
    ),
    "an experiment behind an HTTPRoute": (
        f"spec: {{{ARMS}, gateway: {{mode: HTTPRoute, httpRoute: {{parentRefs: [{{name: a}}]}}}}, {_experiment()}}}",
        "spec.experiment needs spec.gateway.mode Builtin, because with HTTPRoute users do not stay with an arm.",
    ),
    "an experiment by a pattern that is not there": (
        f"spec: {{{ARMS}, {_experiment(metrics='[{name: pattern/sorry}]')}}}",
        "spec.experiment.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of.",
    ),
    "an experiment by a cost without prices": (
        f"spec: {{{ARMS}, {_experiment(metrics='[{name: cost}]')}}}",
        "spec.experiment.metrics contains cost, but there are no prices. Set spec.cost, or remove the metric.",
    ),
    "an experiment by a metric that is none": (
        f"spec: {{{ARMS}, {_experiment(metrics='[{name: money}]')}}}",
        "must be cost, one of errorRate",
    ),
    "an experiment by errors with tokens": (
        f"spec: {{{ARMS}, {_experiment(metrics='[{name: errorRate, tokens: 5}]')}}}",
        "outputTokens needs tokens, such as tokens: 500, and no other metric may have it.",
    ),
    "an experiment by cost with a time": (
        f"spec: {{{ARMS}, cost: {{currency: EUR, perReplicaHour: '1'}}, {_experiment(metrics='[{name: cost, milliseconds: 5}]')}}}",
        "ttft, itl and e2e need milliseconds, such as milliseconds: 500, and no other metric may have it.",
    ),
    "an end that nobody carries out": (
        f"spec: {{{ARMS}, {_experiment(onEnd='Promote')}}}",
        'Unsupported value: "Promote"',
    ),
}
