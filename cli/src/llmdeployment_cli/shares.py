"""What recent answers of the revisions in use are like: `status.revisions[].shares`, in the operator's numbers."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rich.text import Text

from llmdeployment_cli.terminal import make_text


def draw_shares(status: Mapping[str, Any], shown: Collection[int]) -> Iterator[Text]:
    """Yield a line for each revision whose answers were looked at in about the last hour.

    Args:
        status: of the LLMDeployment.
        shown: numbers of the revisions that serve or are on their way.
    """
    lines = [
        _describe(row["number"], row["shares"])
        for row in status.get("revisions") or ()
        if row["number"] in shown and row.get("shares")
    ]
    yield from ([Text(), *lines] if lines else [])


def _describe(number: object, shares: Collection[Mapping[str, Any]]) -> Text:
    line = make_text("answers", "bold").append(make_text(f"  r{number}: ", "not bold"))
    most = max(int(share.get("answers") or 0) for share in shares)
    if not most:
        return line.append("none in about the last hour", "not bold dim")
    found = [
        f"{share.get('name', '?')} {share['percent']} %"
        for share in shares
        if share.get("percent") is not None
    ]
    text = f"of {most:,} in about the last hour, {', '.join(found)}"
    return line.append(make_text(text, "not bold"))
