"""The files in the folder that both containers share. HAProxy can start from them at any time."""

from collections.abc import Mapping
from pathlib import Path

from llmdeployment_gateway import config, maps, slots
from llmdeployment_gateway.changes import HAProxyState
from llmdeployment_gateway.settings import Settings

CONFIG = "haproxy.cfg"
MAPS = (maps.SLOTS, maps.SETTINGS, maps.KEYS, maps.FORCED, maps.BUCKETS)


def prepare(settings: Settings, keys: Mapping[str, str]) -> None:
    """Write the files that are missing, the configuration last because HAProxy waits for it.

    Files of an earlier agent stay as they are, because HAProxy runs with them.
    """
    run = settings.run_dir
    run.mkdir(parents=True, exist_ok=True)
    first = {
        **dict.fromkeys(MAPS, ""),
        maps.KEYS: maps.format_map(keys),
        **config.read_programs(),
        CONFIG: config.render(settings, {}, {}),
    }
    for name, text in first.items():
        if not (run / name).exists():
            _write(run / name, text)


def write_state(settings: Settings, wanted: HAProxyState) -> None:
    """Write the files that HAProxy would start from."""
    for name, text in wanted.maps.items():
        _write(settings.run_dir / name, text)
    _write(settings.run_dir / CONFIG, config.render(settings, wanted.servers, wanted.requests))


def read_slots(settings: Settings) -> dict[str, str]:
    """Return the latest assignment of Services to slots that was written."""
    return slots.parse_slots((settings.run_dir / maps.SLOTS).read_text())


def _write(file: Path, text: str) -> None:
    if file.exists() and file.read_text() == text:
        return
    # A reader sees the old file or the new one, never a part. Only this uid may read the hashes.
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(file)
