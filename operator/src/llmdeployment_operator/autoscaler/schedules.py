"""Windows of time in which more replicas are kept: a schedule raises the minimum, and never lowers it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from llmdeployment_operator.api import cron


@dataclass(frozen=True)
class Schedule:
    """From each time that `schedule` names, for `duration` seconds, at least `minimum` replicas."""

    schedule: str
    """Five cron fields: minute, hour, day of the month, month, day of the week."""
    duration: float
    minimum: int
    time_zone: str = "UTC"
    """IANA name, such as Europe/Berlin: the hours are those of its clocks, summer and winter."""


def find_problem(schedule: Schedule) -> str | None:
    """Returns what is wrong with `schedule`, or None.

    >>> find_problem(Schedule("0 8 * * 1-5", 36000.0, 4, "Europe/Berlin"))
    >>> find_problem(Schedule("0 25 * * *", 60.0, 1))
    'schedule "0 25 * * *" is not a cron expression of five fields: Bad hour'
    """
    if found := cron.find_problem(schedule.schedule, schedule.time_zone):
        return found
    if schedule.duration <= 0:
        return "duration must be above zero"
    return None


def find_minimum(schedules: Iterable[Schedule], now: float) -> int:
    """Returns the largest minimum of the schedules whose window is open at `now`; 0 where none is.

    A schedule with a `problem` is left out: who accepts it says so.

    Args:
        schedules: Those of the spec.
        now: Seconds since 1970.

    A Monday, 24 November 2025, 12:00 in Berlin (11:00 UTC) and 19:00 there:

    >>> work = Schedule("0 8 * * 1-5", 36000.0, 4, "Europe/Berlin")
    >>> noon = datetime(2025, 11, 24, 11, tzinfo=UTC).timestamp()
    >>> find_minimum([work], noon), find_minimum([work], noon + 7 * 3600)
    (4, 0)
    """
    return max((one.minimum for one in schedules if _is_open(one, now)), default=0)


def _is_open(schedule: Schedule, now: float) -> bool:
    if find_problem(schedule):
        return False
    zone = ZoneInfo(schedule.time_zone)
    # The window is open if it began within the last `duration`: the first beginning after that moment lies at or before now.
    earliest = datetime.fromtimestamp(now - schedule.duration, UTC).astimezone(zone)
    begin = next(CronSim(schedule.schedule, earliest), None)
    return begin is not None and begin.astimezone(UTC) <= datetime.fromtimestamp(
        now, UTC
    ) + timedelta(microseconds=1)
