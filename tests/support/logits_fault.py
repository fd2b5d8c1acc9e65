"""Makes a plugin of vLLM that spoils every logit, as a wrong kernel or a broken accelerator would."""

from pathlib import Path

FAULTS = {
    "scale": "logits * 0.5",
    "permute": "logits.roll(1, dims=-1)",
    "nan": "logits * float('nan')",
}

_MODULE = """
def register():
    from vllm.model_executor.layers.logits_processor import LogitsProcessor

    right = LogitsProcessor.forward
    if getattr(right, "is_faulty", False):
        return

    def wrong(self, *args, **kwargs):
        logits = right(self, *args, **kwargs)
        return logits if logits is None else {expression}

    wrong.is_faulty = True
    LogitsProcessor.forward = wrong
"""


def write_plugin(folder: Path, fault: str) -> dict[str, str]:
    """Writes the plugin, and returns the environment in which vLLM finds it: plugins are entry points of installed packages."""
    (folder / "faulty_logits.py").write_text(_MODULE.format(expression=FAULTS[fault]))
    info = folder / "faulty_logits-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-logits\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[vllm.general_plugins]\nfaulty_logits = faulty_logits:register\n"
    )
    return {"PYTHONPATH": str(folder)}
