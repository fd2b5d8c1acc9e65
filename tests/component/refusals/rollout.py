"""What is refused of `spec.replicas`, `spec.rollout`, and of fields that do not exist: a patch of a good object, and the refusal."""

REFUSED = {
    # rollout
    "negative replicas": (
        "spec: {replicas: -1}",
        "spec.replicas in body should be greater than or equal to 0",
    ),
    "too many replicas": (
        "spec: {replicas: 1001}",
        "spec.replicas in body should be less than or equal to 1000",
    ),
    "replicas as text": (
        "spec: {replicas: '2'}",
        "spec.replicas in body must be of type integer",
    ),
    "negative history": (
        "spec: {revisionHistoryLimit: -1}",
        "spec.revisionHistoryLimit in body should be greater than or equal to 0",
    ),
    "canary without steps": (
        "spec: {rollout: {strategy: Canary}}",
        "spec.rollout.strategy Canary needs spec.rollout.steps, such as",
    ),
    "steps without canary": (
        "spec: {rollout: {steps: [{weight: 10}]}}",
        "spec.rollout.steps are for strategy Canary only. Set the strategy, or remove the steps.",
    ),
    "steps that go down": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 50}, {weight: 25}]}}",
        "spec.rollout.steps must rise in weight",
    ),
    "a step twice": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 50}, {weight: 50}]}}",
        "spec.rollout.steps must rise in weight",
    ),
    "a step of everything": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 100}]}}",
        "spec.rollout.steps[0].weight in body should be less than or equal to 99",
    ),
    "a step of nothing": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 0}]}}",
        "spec.rollout.steps[0].weight in body should be greater than or equal to 1",
    ),
    "a pause without a unit": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5, pause: {duration: '600'}}]}}",
        "must be a duration such as 90s, 10m or 1h30m",
    ),
    "a step without what it waits for": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5, analysis: true}]}}",
        "spec.rollout.steps with analysis: true need spec.rollout.analysis. Set the metrics there.",
    ),
    "a schedule of the evaluation that is none": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b.jsonl'}, schedule: 'at noon please'}}}",
        "spec.rollout.evaluation.schedule must have five cron fields",
    ),
    "a schedule of the evaluation that asks all the time": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b.jsonl'}, schedule: '*/5 * * * *'}}}",
        "spec.rollout.evaluation.schedule may ask at most once an hour.",
    ),
    "a schedule of the evaluation that never fires": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b.jsonl'}, schedule: '0 3 30 2 *'}}}",
        "spec.rollout.evaluation.schedule never fires, because no month that it names has such a day.",
    ),
    "a time zone of the evaluation with an offset": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b.jsonl'}, schedule: '0 3 * * *', timeZone: CET+1}}}",
        "spec.rollout.evaluation.timeZone must be a name such as Europe/Berlin.",
    ),
    "an analysis of nothing": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: []}}}",
        "spec.rollout.analysis.metrics in body should have at least 1 items",
    ),
    "an analysis without canary": (
        "spec: {rollout: {analysis: {metrics: [{name: errorRate}]}}}",
        "spec.rollout.analysis is for strategy Canary only.",
    ),
    "a metric twice": (
        "spec: {rollout: {analysis: {metrics: [{name: errorRate}, {name: errorRate}]}}}",
        "Duplicate value",
    ),
    "a latency without a threshold": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: ttft}]}}}",
        "ttft, itl and e2e need milliseconds, such as milliseconds: 500, and no other metric may have it.",
    ),
    "errors with a threshold": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: errorRate, milliseconds: 5}]}}}",
        "ttft, itl and e2e need milliseconds, such as milliseconds: 500, and no other metric may have it.",
    ),
    "a length without a threshold": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: outputTokens}]}}}",
        "outputTokens needs tokens, such as tokens: 500, and no other metric may have it.",
    ),
    "a latency in tokens": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: ttft, milliseconds: 5, tokens: 5}]}}}",
        "outputTokens needs tokens, such as tokens: 500, and no other metric may have it.",
    ),
    "a length that no replica counts": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: outputTokens, tokens: 75001}]}}}",
        "spec.rollout.analysis.metrics[0].tokens in body should be less than or equal to 75000",
    ),
    "an unknown metric": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: cpu}]}}}",
        "must be one of errorRate, ttft, itl, e2e, outputTokens, feedback, refusal,",
    ),
    "an evaluation without questions": (
        "spec: {rollout: {evaluation: {minScorePercent: 90}}}",
        "spec.rollout.evaluation.golden: Required value",
    ),
    "an evaluation that does not say where its questions are": (
        "spec: {rollout: {evaluation: {golden: {}}}}",
        "spec.rollout.evaluation.golden must have exactly one of configMapRef, pvc and lmEval",
    ),
    "an evaluation with two sets of questions": (
        "spec: {rollout: {evaluation: {golden: {configMapRef: {name: a}, pvc: 'pvc://a/b'}}}}",
        "spec.rollout.evaluation.golden must have exactly one of configMapRef, pvc and lmEval",
    ),
    "tasks and a file of questions": (
        "spec: {rollout: {evaluation: {image: i, golden: {pvc: 'pvc://a/b', lmEval: {tasks: [t], pvc: 'pvc://a'}}}}}",
        "spec.rollout.evaluation.golden must have exactly one of configMapRef, pvc and lmEval",
    ),
    "tasks without an image that has lm-eval": (
        "spec: {rollout: {evaluation: {golden: {lmEval: {tasks: [t], pvc: 'pvc://a'}}}}}",
        "spec.rollout.evaluation.golden.lmEval needs spec.rollout.evaluation.image",
    ),
    "tasks with a judge": (
        "spec: {rollout: {evaluation: {image: i, judge: {url: 'https://a/v1', model: b}, golden: {lmEval: {tasks: [t], pvc: 'pvc://a'}}}}}",
        "spec.rollout.evaluation.judge cannot be set with golden.lmEval",
    ),
    "no tasks": (
        "spec: {rollout: {evaluation: {image: i, golden: {lmEval: {tasks: [], pvc: 'pvc://a'}}}}}",
        "spec.rollout.evaluation.golden.lmEval.tasks: Invalid value: 0",
    ),
    "a task twice": (
        "spec: {rollout: {evaluation: {image: i, golden: {lmEval: {tasks: [t, t], pvc: 'pvc://a'}}}}}",
        "spec.rollout.evaluation.golden.lmEval.tasks[1]: Duplicate value",
    ),
    "a task that is a path": (
        "spec: {rollout: {evaluation: {image: i, golden: {lmEval: {tasks: ['../t'], pvc: 'pvc://a'}}}}}",
        "spec.rollout.evaluation.golden.lmEval.tasks must have names of tasks",
    ),
    "tasks in a path that leads out": (
        "spec: {rollout: {evaluation: {image: i, golden: {lmEval: {tasks: [t], pvc: 'pvc://a/../b'}}}}}",
        "spec.rollout.evaluation.golden.lmEval.pvc must be pvc://claim",
    ),
    "questions in a claim without a file": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a'}}}}",
        "spec.rollout.evaluation.golden.pvc must be pvc://claim/path/file.jsonl",
    ),
    "an evaluation with Recreate": (
        "spec: {rollout: {strategy: Recreate, evaluation: {golden: {pvc: 'pvc://a/b'}}}}",
        "spec.rollout.evaluation is for strategy Canary and BlueGreen only",
    ),
    "a shadow with Recreate": (
        "spec: {rollout: {strategy: Recreate, shadow: {minAgreementPercent: 80}}}",
        "spec.rollout.shadow is for strategy Canary and BlueGreen only",
    ),
    "a shadow of nothing": (
        "spec: {rollout: {shadow: {percent: 0, minAgreementPercent: 80}}}",
        "spec.rollout.shadow.percent in body should be greater than or equal to 1",
    ),
    "a shadow of too few requests": (
        "spec: {rollout: {shadow: {requests: 9, minAgreementPercent: 80}}}",
        "spec.rollout.shadow.requests in body should be greater than or equal to 10",
    ),
    "a shadow of too many requests": (
        "spec: {rollout: {shadow: {requests: 10001, minAgreementPercent: 80}}}",
        "spec.rollout.shadow.requests in body should be less than or equal to 10000",
    ),
    "a shadow that decides nothing": (
        "spec: {rollout: {shadow: {percent: 10}}}",
        "spec.rollout.shadow.minAgreementPercent: Required value",
    ),
    "a score above everything": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, minScorePercent: 101}}}",
        "spec.rollout.evaluation.minScorePercent in body should be less than or equal to 100",
    ),
    "a judge with a password": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, judge: {url: 'https://a:b@c/v1', model: m}}}}",
        "spec.rollout.evaluation.judge.url must be http(s)://host/v1",
    ),
    "a judge at a port above the last": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, judge: {url: 'https://a:99999/v1', model: m}}}}",
        "spec.rollout.evaluation.judge.url must be http(s)://host/v1",
    ),
    "a judge's key in clear": (
        (
            "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, "
            "judge: {url: 'http://api.example.com/v1', model: m, apiKeySecretRef: {name: k}}}}}"
        ),
        "spec.rollout.evaluation.judge.apiKeySecretRef needs an https:// url",
    ),
    "a judge without a model": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, judge: {url: 'https://a/v1'}}}}",
        "spec.rollout.evaluation.judge.model: Required value",
    ),
    "an unknown strategy": (
        "spec: {rollout: {strategy: RollingUpdate}}",
        'Unsupported value: "RollingUpdate"',
    ),
    "no room for a new replica": (
        "spec: {rollout: {maxSurge: 0}}",
        "spec.rollout.maxSurge in body should be greater than or equal to 1",
    ),
    "a share of nothing": (
        "spec: {rollout: {maxSurge: '0%'}}",
        "spec.rollout.maxSurge in body should match",
    ),
    "a deadline of nothing": (
        "spec: {rollout: {progressDeadlineSeconds: 0}}",
        "spec.rollout.progressDeadlineSeconds in body should be greater than or equal to 30",
    ),
    "paused as text": (
        "spec: {paused: 'yes'}",
        "spec.paused in body must be of type boolean",
    ),
    # what this version does not know
    "limbs": ("spec: {limbs: [{name: a}]}", 'unknown field "spec.limbs"'),
    "a typing error": ("spec: {replica: 2}", 'unknown field "spec.replica"'),
    "status in spec": ("spec: {status: {}}", 'unknown field "spec.status"'),
}
