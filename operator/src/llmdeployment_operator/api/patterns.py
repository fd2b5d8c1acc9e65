"""Regular expressions in the spec: RE2's, checked by the API server and by the operator alike."""

from typing import Annotated, Any

import re2
from pydantic import AfterValidator, Field

from llmdeployment_operator.api.fields import Text, cel

_name = Text(1, 32).must(
    r"[a-z]([-a-z0-9]*[a-z0-9])?",
    "must start with a letter and contain only lower-case letters, digits and -, at most 32",
)
PatternName = Annotated[str, *_name.annotations()]
# `matches` of a pattern that RE2 refuses is an error, which the API server reports with the reason. Both sides of `||` have it:
# `matches(...) || true` would be true.
_IS_RE2 = "''.matches(self) || !''.matches(self)"


def build_pattern(refusal: str) -> tuple[Any, ...]:
    """Return what turns `str` into an RE2 expression of at most 512 characters.

    Args:
        refusal: the sentence for what is none: field, reason and what to do.
    """

    def check(pattern: str) -> str:
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(pattern, options=options)
        except re2.error:
            raise ValueError(refusal) from None
        return pattern

    field = Field(min_length=1, max_length=512, json_schema_extra=cel((_IS_RE2, refusal)))
    return field, AfterValidator(check)
