"""What is refused of `spec.scaling`: a patch of the smallest good object, and words of the refusal."""

TTFT = "targets: {ttft: {milliseconds: 500}}"
NIGHT = "{schedule: 0 22 * * *, duration: 8h, minReplicas: 1}"
SCHEDULED = f"spec: {{scaling: {{maxReplicas: 2, {TTFT}, schedules: [{{%s, duration: 1h, minReplicas: 1}}]}}}}"
WORK = "schedules: [{schedule: 0 8 * * 1-5, duration: 10h, %s}]"

REFUSED = {
    "a minimum above the maximum": (
        f"spec: {{scaling: {{minReplicas: 3, maxReplicas: 2, {TTFT}}}}}",
        "spec.scaling.minReplicas must not be above spec.scaling.maxReplicas. Lower the one or raise the other.",
    ),
    "a minimum by default above the maximum": (
        f"spec: {{scaling: {{maxReplicas: 0, {TTFT}}}}}",
        "spec.scaling.maxReplicas in body should be greater than or equal to 1",
    ),
    "no maximum": (f"spec: {{scaling: {{{TTFT}}}}}", "spec.scaling.maxReplicas: Required value"),
    "a negative minimum": (
        f"spec: {{scaling: {{minReplicas: -1, maxReplicas: 2, {TTFT}}}}}",
        "spec.scaling.minReplicas in body should be greater than or equal to 0",
    ),
    "too large a maximum": (
        f"spec: {{scaling: {{maxReplicas: 1001, {TTFT}}}}}",
        "spec.scaling.maxReplicas in body should be less than or equal to 1000",
    ),
    "nothing promised": (
        "spec: {scaling: {maxReplicas: 2}}",
        "spec.scaling.targets: Required value",
    ),
    "no target": (
        "spec: {scaling: {maxReplicas: 2, targets: {}}}",
        "spec.scaling.targets needs at least one of ttft, itl and e2e",
    ),
    "a target of 0": (
        "spec: {scaling: {maxReplicas: 2, targets: {ttft: {milliseconds: 0}}}}",
        "spec.scaling.targets.ttft.milliseconds in body should be greater than or equal to 1",
    ),
    "a target beyond the histogram": (
        "spec: {scaling: {maxReplicas: 2, targets: {e2e: {milliseconds: 750001}}}}",
        "spec.scaling.targets.e2e.milliseconds in body should be less than or equal to 750000",
    ),
    "an unknown percentile": (
        "spec: {scaling: {maxReplicas: 2, targets: {itl: {milliseconds: 50, percentile: 42}}}}",
        'spec.scaling.targets.itl.percentile: Unsupported value: 42: supported values: "50", "75", "90", "95", "99"',
    ),
    "a target without a number": (
        "spec: {scaling: {maxReplicas: 2, targets: {ttft: {percentile: 95}}}}",
        "spec.scaling.targets.ttft.milliseconds: Required value",
    ),
    "an unknown metric": (
        "spec: {scaling: {maxReplicas: 2, targets: {tpot: {milliseconds: 5}}}}",
        'unknown field "spec.scaling.targets.tpot"',
    ),
    "a way to zero that is never taken": (
        f"spec: {{scaling: {{maxReplicas: 2, scaleToZeroAfter: 5m, {TTFT}}}}}",
        "spec.scaling.scaleToZeroAfter is for minReplicas: 0 only.",
    ),
    "a schedule above the maximum": (
        f"spec: {{scaling: {{maxReplicas: 2, {TTFT}, {WORK % 'minReplicas: 3'}}}}}",
        "spec.scaling.schedules must not ask for more minReplicas than spec.scaling.maxReplicas",
    ),
    "a schedule at 25 o'clock": (
        SCHEDULED % "schedule: 0 25 * * *",
        "A schedule of spec.scaling.schedules must have five cron fields",
    ),
    "a time zone by its offset": (
        SCHEDULED % "schedule: 0 8 * * *, timeZone: CET+1",
        "A timeZone of spec.scaling.schedules must be a name such as Europe/Berlin.",
    ),
    "a schedule of four fields": (
        SCHEDULED % "schedule: 0 8 * *",
        "A schedule of spec.scaling.schedules must have five cron fields",
    ),
    "a time zone with a space": (
        f"spec: {{scaling: {{maxReplicas: 2, {TTFT}, {WORK % 'minReplicas: 1, timeZone: New York'}}}}}",
        "A timeZone of spec.scaling.schedules must be a name such as Europe/Berlin.",
    ),
    "a schedule twice": (
        f"spec: {{scaling: {{maxReplicas: 2, {TTFT}, schedules: [{', '.join([NIGHT] * 2)}]}}}}",
        "spec.scaling.schedules[1]: Duplicate value",
    ),
    "no duration": (
        f"spec: {{scaling: {{minReplicas: 0, maxReplicas: 2, scaleToZeroAfter: soon, {TTFT}}}}}",
        "must be a duration such as 90s, 10m or 1h30m",
    ),
    "zero behind a gateway that holds nothing": (
        f"spec: {{scaling: {{minReplicas: 0, maxReplicas: 2, {TTFT}}}, gateway: {{hold: {{maxRequests: 0}}}}}}",
        "spec.scaling.minReplicas: 0 needs a gateway that holds requests",
    ),
    "zero behind the cluster's Gateways": (
        (
            f"spec: {{scaling: {{minReplicas: 0, maxReplicas: 2, {TTFT}}}, "
            "gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}}}"
        ),
        "spec.scaling.minReplicas: 0 needs a gateway that holds requests",
    ),
    "an API elsewhere": (
        (
            f"spec: {{scaling: {{maxReplicas: 2, {TTFT}}}, model: {{source: 'external://gpt'}}, "
            "engine: {name: external, external: {baseURL: 'https://api.example.com/v1'}}}"
        ),
        "spec.scaling cannot be set with spec.engine.name external",
    ),
    "an arm elsewhere": (
        (
            f"spec: {{scaling: {{maxReplicas: 2, {TTFT}}}, arms: [{{name: a, weight: 50}}, {{name: b, weight: 50, "
            "overrides: {model: {source: 'external://gpt'}, engine: {name: external, external: {baseURL: 'https://api.example.com/v1'}}}}]}"
        ),
        "spec.scaling cannot be set with spec.engine.name external",
    ),
}
