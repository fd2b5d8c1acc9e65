"""What the API's types are made of: a strict base model, and strings with rules for both sides.

A rule is written once. The API server gets it as CEL, the operator as a check on the parsed object,
both with the same sentence. The operator's half matters when a rule is newer than the object, or
the CRD older than the operator.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

Extension = dict[str, Any]
"""Keys that go into the OpenAPI schema as they are."""


def cel(*rules: tuple[str, str]) -> Extension:
    """Return validation rules: an expression that must hold, the sentence for when it does not."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]
    }


class Model(BaseModel):
    """An object of the spec: frozen, camelCase in JSON, strict types, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )


class Text:
    """A bounded string and the expressions it must match, each with a sentence for if it does not.

    The expressions mean the same to Python's `re` and to RE2. With `scheme`, an expression is for
    strings of that prefix only.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high
        self._rules: list[tuple[re.Pattern[str], str, str]] = []

    def must(self, pattern: str, message: str, scheme: str = "") -> "Text":
        """Add a rule and return self."""
        self._rules.append((re.compile(rf"^(?:{pattern})$"), message, scheme))
        return self

    def never(self, prefix: str, message: str) -> "Text":
        """Refuse strings of this prefix and return self."""
        return self.must("", message, prefix)

    def fits(self, value: str) -> bool:
        """Say whether every rule holds."""
        return all(p.fullmatch(value) for p, _, scheme in self._rules if value.startswith(scheme))

    def annotations(self) -> tuple[Any, ...]:
        """Return what turns `str` into this type for pydantic and for the schema."""
        rules = cel(*(_write_expression(*rule) for rule in self._rules)) if self._rules else {}
        field = Field(min_length=self.low, max_length=self.high, json_schema_extra=rules)
        return field, AfterValidator(self._check)

    def _check(self, value: str) -> str:
        for pattern, message, scheme in self._rules:
            if value.startswith(scheme) and not pattern.fullmatch(value):
                raise ValueError(message)
        return value


def _write_expression(pattern: re.Pattern[str], message: str, scheme: str) -> tuple[str, str]:
    if scheme and not pattern.pattern.strip("^$(?:)"):
        return f"!self.startsWith('{scheme}')", message
    matches = f"self.matches(r'''{pattern.pattern}''')"
    return (f"!self.startsWith('{scheme}') || {matches}" if scheme else matches), message


_object_name = Text(1, 253).must(
    r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
    "must be the name of a Kubernetes object, at most 253 lower-case letters, digits, - and .",
)
_key_name = Text(1, 253).must(
    r"[-._a-zA-Z0-9]+", "must be a key of the object and contain only letters, digits, -, _ and ."
)
_image = Text(1, 512).must(
    r"[^\s]+", "must be an image reference without spaces, such as example.com/serving:1.0"
)

ObjectName = Annotated[str, *_object_name.annotations()]
KeyName = Annotated[str, *_key_name.annotations()]
Image = Annotated[str, *_image.annotations()]

QUANTITY = r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?"
_quantity = re.compile(rf"^{QUANTITY}$")
AMOUNT = (
    "An amount is a number with a unit of Kubernetes, such as 500m or 4 of cpu, 64Gi or 64G of memory. "
    "Write G for GB, M for MB and Gi for GiB."
)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_amount(value: str) -> bool:
    """Say whether a text is an amount of a resource.

    >>> is_amount("200Gi"), is_amount("200GB")
    (True, False)
    """
    return _quantity.fullmatch(value) is not None


def _check_quantity(value: str) -> str:
    if not is_amount(value):
        raise ValueError(f"{value!r} is not an amount. {AMOUNT}")
    return value


Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_check_quantity),
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maxLength": 32,
        }
    ),
]
"""An amount of a resource, always text once parsed, so that `1` and `"1"` are the same revision."""


def describe_error(error: Mapping[str, Any]) -> str:
    """Return one entry of `ValidationError.errors()` as `field: sentence.`.

    >>> describe_error({"loc": ("spec", "engine", "env", 0), "msg": "Value error, is too long"})
    'spec.engine.env[0]: is too long.'
    >>> describe_error({"loc": ("spec", "model", "source"), "msg": "Value error, spec.model.source must start with hf://."})
    'spec.model.source must start with hf://.'
    """
    # pydantic names the key of a map that is wrong itself by `[key]` behind it.
    parts = [part for part in error["loc"] if part != "[key]"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    text = str(error["msg"]).removeprefix("Value error, ").removesuffix(".")
    if text.startswith("spec."):
        # The sentence of a rule names its field itself.
        return f"{text}."
    return f"{path.removeprefix('.') or 'object'}: {text}."
