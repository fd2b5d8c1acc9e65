"""What is refused of `spec.arms`: a patch of the smallest good object, and words of the refusal."""

REFUSED = {
    "weights that do not sum": (
        "spec: {arms: [{name: a, weight: 90}, {name: b, weight: 20}]}",
        "The weights of spec.arms must add up to 100.",
    ),
    "an arm without a weight": ("spec: {arms: [{name: a}]}", "spec.arms[0].weight: Required value"),
    "an arm of weight 0": (
        "spec: {arms: [{name: a, weight: 100}, {name: b, weight: 0}]}",
        "spec.arms[1].weight in body should be greater than or equal to 1",
    ),
    "two arms of one name": (
        "spec: {arms: [{name: a, weight: 50}, {name: a, weight: 50}]}",
        'spec.arms[1]: Duplicate value: {"name":"a"}',
    ),
    "an arm with the name of a revision": (
        "spec: {arms: [{name: canary, weight: 100}]}",
        "spec.arms cannot contain the names stable and canary, which name revisions. Choose another name.",
    ),
    "an arm with a capital": (
        "spec: {arms: [{name: A, weight: 100}]}",
        "must start with a letter and contain only lower-case letters",
    ),
    "nine arms": (
        f"spec: {{arms: [{', '.join(f'{{name: a{n}, weight: {20 if n else 0}}}' for n in range(9))}]}}",
        "spec.arms: Too many: 9: must have at most 8 items",
    ),
    "an arm that overrides a policy": (
        "spec: {arms: [{name: a, weight: 100, overrides: {replicas: 3}}]}",
        'unknown field "spec.arms[0].overrides.replicas"',
    ),
    "an arm of another served name": (
        "spec: {arms: [{name: a, weight: 100, overrides: {model: {servedName: b}}}]}",
        'unknown field "spec.arms[0].overrides.model.servedName"',
    ),
    "an arm with a self-test of its own": (
        "spec: {arms: [{name: a, weight: 100, overrides: {engine: {selfTest: {enabled: false}}}}]}",
        'unknown field "spec.arms[0].overrides.engine.selfTest"',
    ),
    "an arm with a flag that cannot be set": (
        "spec: {arms: [{name: a, weight: 100, overrides: {engine: {args: {port: 1}}}}]}",
        "cannot contain port, because the operator sets it.",
    ),
}
