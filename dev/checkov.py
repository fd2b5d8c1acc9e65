"""checkov, which looks for insecure settings in Kubernetes manifests, in an environment of its own in the cache."""

from pathlib import Path

from dev import tool_env


def ensure() -> Path:
    """Return the path of checkov, and install it if it is missing.

    Raises:
        StageError: it cannot be installed here; the message says why.
    """
    return tool_env.ensure("checkov", "checkov.txt") / "bin" / "checkov"
