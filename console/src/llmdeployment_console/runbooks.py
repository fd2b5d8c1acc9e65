"""Where the runbook of a condition's reason is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

OWN_PAGES = "#/runbooks/NAME"
"""The console's own page of a runbook. It needs no site of the docs, so it is the default."""


@dataclass(frozen=True)
class Runbooks:
    """The runbooks that there are.

    Attributes:
        address: of one; `NAME` stands for its name.
        names: of those that there are.
    """

    address: str = OWN_PAGES
    names: frozenset[str] = frozenset()

    @classmethod
    def list(cls, page: Path, address: str) -> Self:
        """Return the runbooks that were built with a page; none with a page that was not built."""
        found = frozenset(each.stem for each in (page / "runbooks").glob("*.md"))
        return cls(address, found - {"README"})

    def find(self, reason: str | None) -> str | None:
        """Return the address of a reason's runbook; None where it has none, as it needs nobody.

        >>> Runbooks("https://docs.example.com/NAME/", frozenset({"RolledBack"})).find("RolledBack")
        'https://docs.example.com/RolledBack/'
        >>> Runbooks().find("Serving")
        """
        return self.address.replace("NAME", reason) if reason in self.names else None


NO_RUNBOOKS = Runbooks()
