"""What is refused of `spec.monitoring` and of metrics of what answers are like: a patch of a good object, and the refusal."""


def _patterns(*patterns: str) -> str:
    return f"spec: {{monitoring: {{outputPatterns: [{', '.join(patterns)}]}}}}"


def _drift(field: str) -> str:
    return f"spec: {{monitoring: {{drift: {{{field}}}}}}}"


def _traces(field: str) -> str:
    return f"spec: {{monitoring: {{traces: {{{field}}}}}}}"


def _canary(metric: str) -> str:
    analysis = f"analysis: {{metrics: [{metric}]}}"
    return f"rollout: {{strategy: Canary, steps: [{{weight: 5}}], {analysis}}}"


_NOT_RE2 = "spec.monitoring.outputPatterns contains a pattern that is not an RE2 expression, or one that is too large for it."

REFUSED = {
    "a pattern with an open group": (_patterns("{name: a, pattern: '(x'}"), _NOT_RE2),
    "a pattern with the reason": (_patterns("{name: a, pattern: '(x'}"), "missing closing )"),
    "a pattern that looks ahead": (_patterns("{name: a, pattern: 'a(?=b)'}"), _NOT_RE2),
    "a pattern that looks back": (_patterns(r"{name: a, pattern: '(a)\1'}"), _NOT_RE2),
    "a pattern that explodes": (
        _patterns("{name: a, pattern: '((a{100}){100}){100}'}"),
        _NOT_RE2,
    ),
    "a pattern of 10 KiB": (
        _patterns(f"{{name: a, pattern: '{'x' * 10_240}'}}"),
        "Too long: may not be more than 512",
    ),
    "an empty pattern": (
        _patterns("{name: a, pattern: ''}"),
        "should be at least 1 chars long",
    ),
    "a pattern without a name": (_patterns("{pattern: a}"), "Required value"),
    "a pattern's name twice": (
        _patterns("{name: a, pattern: a}", "{name: a, pattern: b}"),
        "Duplicate value",
    ),
    "a pattern with a capital letter": (
        _patterns("{name: Brand, pattern: a}"),
        "must start with a letter and contain only lower-case letters, digits and -, at most 32",
    ),
    "a pattern with the name of a share": (
        _patterns("{name: refusal, pattern: a}"),
        "spec.monitoring.outputPatterns cannot contain the name of a built-in share",
    ),
    "seventeen patterns": (
        _patterns(*(f"{{name: a{number}, pattern: a}}" for number in range(17))),
        "must have at most 16 items",
    ),
    "a metric of no pattern": (
        f"spec: {{{_canary('{name: pattern/brand}')}}}",
        "spec.rollout.analysis.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of.",
    ),
    "a metric of another pattern": (
        f"spec: {{monitoring: {{outputPatterns: [{{name: brands, pattern: a}}]}}, {_canary('{name: pattern/brand}')}}}",
        "spec.rollout.analysis.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of.",
    ),
    "a first window of half an hour": (
        _drift("firstWindow: 30m"),
        "must be a number of hours from 1h to 168h, such as 24h for a day or 168h for a week",
    ),
    "a first window of more than a week": (
        _drift("firstWindow: 169h"),
        "must be a number of hours from 1h to 168h",
    ),
    "a first window of 99 answers": (
        _drift("minRequests: 99"),
        "should be greater than or equal to 100",
    ),
    "a drift of any size": (
        _drift("tolerancePercent: 0"),
        "should be greater than or equal to 1",
    ),
    "a drift of what nobody counts": (
        _drift("metrics: [ttft]"),
        "must be one of promptLength, outputTokens, refusal,",
    ),
    "a drift of one metric twice": (
        _drift("metrics: [refusal, refusal]"),
        "Duplicate value",
    ),
    "a drift of no pattern": (
        _drift("metrics: [pattern/brand]"),
        "spec.monitoring.drift.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of.",
    ),
    "a drift of another pattern": (
        "spec: {monitoring: {outputPatterns: [{name: brands, pattern: a}], drift: {metrics: [pattern/brand]}}}",
        "spec.monitoring.drift.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of.",
    ),
    "a share in milliseconds": (
        f"spec: {{{_canary('{name: refusal, milliseconds: 5}')}}}",
        "ttft, itl and e2e need milliseconds",
    ),
    "more than all traces": (
        _traces("samplePercent: 101"),
        "should be less than or equal to 100",
    ),
    "a fraction of a percent": (_traces("samplePercent: 0.5"), "must be of type integer"),
    "a slow answer without a unit": (
        _traces("slowerThan: '30'"),
        "must be a whole number of seconds or milliseconds",
    ),
    "a slow answer in minutes": (
        _traces("slowerThan: 5m"),
        "must be a whole number of seconds or milliseconds",
    ),
}
