"""URLs of servers that an LLMDeployment talks to, and which of them may be sent a key."""

import re

PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
"""A port of a URL, 1 to 65535, or none."""

ORIGIN = rf"https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?{PORT}"
"""The start of a URL, without credentials."""

_FOR_KEYS = (
    r"^(?:https://.*|http://[a-z]([-a-z0-9]*[a-z0-9])?"
    rf"(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?\.svc(\.cluster\.local)?)?{PORT}(/.*)?)$"
)


def may_carry_key(url: str) -> bool:
    """Say whether a key may be sent to a URL: by TLS, or to a Service of this cluster.

    A Service's name begins with a letter, so no address is one.

    >>> may_carry_key("http://name.namespace.svc/v1"), may_carry_key("http://a.b.svc.example.com"), may_carry_key("http://127.0.0.1")
    (True, False, False)
    """
    return re.fullmatch(_FOR_KEYS, url) is not None


def build_key_rule(field: str) -> str:
    """Return the same as a rule of the CRD, for an object whose URL is in `field` and whose key is in `apiKeySecretRef`."""
    return f"!has(self.apiKeySecretRef) || self.{field}.matches(r'''{_FOR_KEYS}''')"


def describe_key_in_clear(path: str, field: str) -> str:
    """Return the sentence for a key that would cross the network in clear."""
    return (
        f"{path}.apiKeySecretRef needs an https:// {field}, because a key must not cross the internet in clear. "
        "Use http:// for services of this cluster only, such as http://name.namespace.svc."
    )
