"""Cron expressions and time zones, as `spec.scaling.schedules` has them."""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError


def _repeat(value: str) -> str:
    """Return the expression of a cron field: a list of values, ranges and steps."""
    item = rf"(\*|0*{value}(-0*{value})?)(/[0-9]+)?"
    return rf"{item}(,{item})*"


_MONTHS = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DAYS = "(?i:sun|mon|tue|wed|thu|fri|sat)"
PATTERN = " +".join(
    _repeat(value)
    for value in (
        "[0-5]?[0-9]",
        "([01]?[0-9]|2[0-3])",
        "([1-9]|[12][0-9]|3[01]|[lL][wW]?|[0-9]{1,2}[wW])",
        f"([1-9]|1[0-2]|{_MONTHS})",
        f"([0-7]|{_DAYS})(#[1-5]|[lL])?",
    )
)
"""Every cron expression that CronSim takes, and few others: what the API server refuses at apply time."""
ZONE_PATTERN = (
    r"(Etc/)?(GMT|UTC)[+-][0-9]{1,2}|[A-Za-z][A-Za-z0-9_-]*(/[A-Za-z0-9_-][A-Za-z0-9_+-]*)*"
)
"""Every name of a time zone, and no offset such as CET+1."""

ONCE_AN_HOUR = r"0*[0-5]?[0-9] .*"
"""A minute alone in the first field: nothing that fires more than once an hour."""
_SHORT = "2|4|6|9|11|(?i:feb|apr|jun|sep|nov)"
NEVER = (
    rf" *[^ ]+ +[^ ]+ +((30|31)(,(30|31))* +0*(2|(?i:feb))|31 +0*({_SHORT})(,0*({_SHORT}))*) +\* *"
)
"""Days that no month of the schedule has."""


def find_problem(schedule: str, time_zone: str) -> str | None:
    """Return what is wrong with a cron expression or with the zone whose clocks it goes by, or None.

    >>> find_problem("0 8 * * 1-5", "Europe/Berlin")
    >>> find_problem("0 25 * * *", "UTC")
    'schedule "0 25 * * *" is not a cron expression of five fields: Bad hour'
    """
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f'timeZone "{time_zone}" is unknown. Use a name such as Europe/Berlin.'
    if len(schedule.split()) != 5:  # noqa: PLR2004  # because cron has five fields
        return (
            f'schedule "{schedule}" is not a cron expression of five fields, such as 0 8 * * 1-5.'
        )
    try:
        CronSim(schedule, datetime(2000, 1, 1, tzinfo=zone))
    except CronSimError as error:
        return f'schedule "{schedule}" is not a cron expression of five fields: {error}'
    return None


def find_last(schedule: str, time_zone: str, now: datetime) -> datetime | None:
    """Return the last time that a schedule named, `now` included; None before the first.

    >>> from datetime import UTC
    >>> noon = datetime(2025, 11, 24, 12, tzinfo=UTC)
    >>> find_last("0 3 * * *", "Europe/Berlin", noon).isoformat(), find_last("0 12 * * *", "UTC", noon) == noon
    ('2025-11-24T03:00:00+01:00', True)
    """
    # A moment before `now` + 1 s is the whole minute at or before `now`.
    local = now.astimezone(ZoneInfo(time_zone)) + timedelta(seconds=1)
    return next(CronSim(schedule, local, reverse=True), None)


def find_next(schedule: str, time_zone: str, now: datetime) -> datetime | None:
    """Return the next time that a schedule names, `now` excluded; None if there is none.

    >>> from datetime import UTC
    >>> find_next("0 3 * * *", "UTC", datetime(2025, 11, 24, 12, tzinfo=UTC)).isoformat()
    '2025-11-25T03:00:00+00:00'
    """
    return next(CronSim(schedule, now.astimezone(ZoneInfo(time_zone))), None)


@lru_cache(maxsize=256)
def count_times(schedule: str, time_zone: str, begin: datetime, end: datetime) -> int:
    """Return how often a schedule fires after `begin` and up to `end`.

    >>> from datetime import UTC
    >>> count_times("0 3 * * 1", "UTC", datetime(2025, 11, 1, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC))
    4
    """
    count = 0
    for at in CronSim(schedule, begin.astimezone(ZoneInfo(time_zone))):
        if at > end:
            break
        count += 1
    return count
