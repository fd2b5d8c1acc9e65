"""Cron expressions and time zones, as `spec.scaling.schedules` has them."""

from datetime import datetime
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
