"""What is refused of `spec.monitoring.requestLog`: a patch of a good object, and the refusal."""


def _log(fields: str) -> str:
    return f"spec: {{monitoring: {{requestLog: {{{fields}}}}}}}"


def _redact(*rules: str) -> str:
    return _log(f"redact: [{', '.join(rules)}]")


_NOT_RE2 = "spec.monitoring.requestLog.redact contains a pattern that is not an RE2 expression, or one that is too large for it."
_PATH = "must be a relative path of letters, digits, -, _ and ."

REFUSED = {
    "a log of another level": (_log("level: All"), 'supported values: "Metadata", "Content"'),
    "a log to another sink": (_log("sink: Disk"), 'supported values: "Stdout", "OTLP", "PVC"'),
    "a log of no requests": (_log("samplePercent: 0"), "should be greater than or equal to 1"),
    "a log of more than all requests": (_log("samplePercent: 101"), "should be less than or equal to 100"),
    "a log on no claim": (
        _log("sink: PVC"),
        "spec.monitoring.requestLog.sink is PVC, and pvc is missing.",
    ),
    "a log with a claim for standard output": (
        _log("pvc: {claimName: logs}"),
        "spec.monitoring.requestLog.pvc has no effect without sink PVC.",
    ),
    "a log with a claim for a collector": (
        _log("sink: OTLP, pvc: {claimName: logs}"),
        "spec.monitoring.requestLog.pvc has no effect without sink PVC.",
    ),
    "a log on a claim without a name": (_log("sink: PVC, pvc: {}"), "Required value"),
    "a log on a claim of another name": (
        _log("sink: PVC, pvc: {claimName: Logs}"),
        "must be the name of a Kubernetes object",
    ),
    "a log in a parent folder": (_log("sink: PVC, pvc: {claimName: logs, subPath: a/../b}"), _PATH),
    "a log in an absolute folder": (_log("sink: PVC, pvc: {claimName: logs, subPath: /a}"), _PATH),
    "a log that is kept for no day": (
        _log("sink: PVC, pvc: {claimName: logs, retentionDays: 0}"),
        "should be greater than or equal to 1",
    ),
    "a log without room": (
        _log("sink: PVC, pvc: {claimName: logs, maxSizeGiB: 0}"),
        "should be greater than or equal to 1",
    ),
    "a redaction with an open group": (_redact("{name: a, pattern: '(x'}"), _NOT_RE2),
    "a redaction that looks ahead": (_redact("{name: a, pattern: 'a(?=b)'}"), _NOT_RE2),
    "a redaction that explodes": (_redact("{name: a, pattern: '((a{100}){100}){100}'}"), _NOT_RE2),
    "a redaction without a name": (_redact("{pattern: a}"), "Required value"),
    "a redaction's name twice": (
        _redact("{name: a, pattern: a}", "{name: a, pattern: b}"),
        "Duplicate value",
    ),
    "seventeen redactions": (
        _redact(*(f"{{name: a{number}, pattern: a}}" for number in range(17))),
        "must have at most 16 items",
    ),
}  # fmt: skip
