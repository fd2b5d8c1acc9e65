"""The files in the folder the two containers share: HAProxy starts from them, at any time."""

from collections.abc import Mapping
from pathlib import Path

from llmdeployment_gateway import config, maps, slots
from llmdeployment_gateway.changes import Desired
from llmdeployment_gateway.settings import Settings

CONFIG = "haproxy.cfg"
MAPS = (maps.SLOTS, maps.SETTINGS, maps.KEYS, maps.FORCED, maps.BUCKETS)


def prepare(settings: Settings, keys: Mapping[str, str]) -> None:
    """Write what is not there yet, the configuration last: HAProxy waits for it.

    Files of an agent that ran before stay as they are: they are what HAProxy knows.
    """
    run = settings.run_dir
    run.mkdir(parents=True, exist_ok=True)
    first = {
        **dict.fromkeys(MAPS, ""),
        maps.KEYS: maps.lines(keys),
        **config.programs(),
        CONFIG: config.render(settings, {}),
    }
    for name, text in first.items():
        if not (run / name).exists():
            _write(run / name, text)


def keep(settings: Settings, wanted: Desired) -> None:
    """Write what HAProxy should start from."""
    for name, text in wanted.maps.items():
        _write(settings.run_dir / name, text)
    _write(settings.run_dir / CONFIG, config.render(settings, wanted.servers))


def assigned(settings: Settings) -> dict[str, str]:
    """Return Service to slot as it was last written."""
    return slots.read((settings.run_dir / maps.SLOTS).read_text())


def _write(file: Path, text: str) -> None:
    if file.exists() and file.read_text() == text:
        return
    # A reader sees the old file or the new one, never a part; and nobody but this uid reads hashes.
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(file)
