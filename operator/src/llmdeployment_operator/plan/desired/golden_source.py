"""Where a golden set is, as the evaluation's pod sees it."""

from typing import Any

from llmdeployment_operator.api.evaluation import GoldenSpec
from llmdeployment_operator.plan.base.objects import Object

GOLDEN_DIR = "/golden"
_OF_TASKS = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
_OF_A_FILE = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}


def build_volume(golden: GoldenSpec) -> Object:
    """Return the source of the volume with the golden set."""
    if (ref := golden.config_map_ref) is not None:
        # Optional: a key that is missing is named by the program, where kubelet would wait for it without a word in the pod.
        return {"configMap": {"name": ref.name, "optional": True}}
    claim, _ = _split_claim(golden)
    return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}


def build_options(golden: GoldenSpec) -> dict[str, str]:
    """Return the options of the evaluation's program that say what to ask.

    >>> build_options(GoldenSpec(pvc="pvc://sets/chat/1.jsonl"))
    {'--golden': '/golden/chat/1.jsonl', '--golden-name': 'pvc://sets/chat/1.jsonl'}
    """
    if (ref := golden.config_map_ref) is not None:
        name = f"key {ref.key} of ConfigMap {ref.name}"
        return {"--golden": f"{GOLDEN_DIR}/{ref.key}", "--golden-name": name}
    _, path = _split_claim(golden)
    options = {
        "--golden": f"{GOLDEN_DIR}/{path}".rstrip("/"),
        "--golden-name": describe_source(golden),
    }
    if (tasks := golden.lm_eval) is None:
        return options
    options["--lm-eval"] = ",".join(tasks.tasks)
    more = {"--limit": tasks.limit, "--num-fewshot": tasks.num_fewshot}
    return options | {option: str(value) for option, value in more.items() if value is not None}


def choose_resources(golden: GoldenSpec) -> dict[str, Any]:
    """Return what the program needs: lm-evaluation-harness with its libraries takes 0.3 GB before it has read a question."""
    return _OF_A_FILE if golden.lm_eval is None else _OF_TASKS


def describe_source(golden: GoldenSpec) -> str:
    """Return what people call the claim's part that a golden set is in."""
    return golden.lm_eval.pvc if golden.lm_eval is not None else str(golden.pvc)


def _split_claim(golden: GoldenSpec) -> tuple[str, str]:
    claim, _, path = describe_source(golden).removeprefix("pvc://").partition("/")
    return claim, path
