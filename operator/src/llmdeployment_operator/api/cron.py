"""Cron expressions and time zones, as `spec.scaling.schedules` has them."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError


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
