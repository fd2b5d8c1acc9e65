"""Where a model and its adapters come from: `spec.model.source` and the fields that only some sources have."""

from typing import Annotated

from llmdeployment_operator.api.fields import Model, ObjectName, Text

_S3 = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._=+-]*)+"
_HTTPS = r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9_~-][A-Za-z0-9._~%+-]*)+"
_NO_STORE = (
    "spec.model.source cannot be a bucket of this kind. Use s3:// with the bucket's S3 interface, "
    "or copy the model's files onto a PersistentVolumeClaim and write pvc://claim/path."
)
_source = (
    Text(1, 1024)
    .must(
        r"(hf|pvc|file|external|s3|https|gs|az|oci)://.*",
        "spec.model.source must start with hf://, s3://, https://, oci://, pvc://, file:// or external://. "
        "Write hf://organisation/name@revision, pvc://claim/path or file:///path, for example.",
    )
    .never("gs://", _NO_STORE)
    .never("az://", _NO_STORE)
    .must(
        r"oci://[a-zA-Z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{64})?",
        "spec.model.source must be oci://registry/repository:tag or oci://registry/repository@sha256:digest.",
        "oci://",
    )
    .must(
        r"hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._/-]*)?",
        "spec.model.source must be hf://organisation/name or hf://organisation/name@revision.",
        "hf://",
    )
    .must(
        _S3,
        "spec.model.source must be s3://bucket/prefix. "
        "Write the name of a bucket and the prefix of the model's files, without .. or spaces.",
        "s3://",
    )
    .must(
        _HTTPS,
        "spec.model.source must be https://host/folder/SHA256SUMS. "
        "Write the URL of the list that sha256sum wrote of the model's files, without a query or credentials.",
        "https://",
    )
    .must(
        r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*",
        "spec.model.source must be pvc://claim/path. "
        "Write the name of a PersistentVolumeClaim and a path without .. or spaces.",
        "pvc://",
    )
    .must(
        r"file://(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+",
        "spec.model.source must be file:///path. "
        "Write an absolute path in the image, without .. or spaces.",
        "file://",
    )
    .must(
        r"external://[A-Za-z0-9@~][A-Za-z0-9._:/@+-]*",
        "spec.model.source must be external://<the model's name at the API>, without spaces.",
        "external://",
    )
)

_adapter_source = (
    Text(1, 512)
    .must(
        r"(hf|s3|https|pvc|file)://.*",
        "The source of an adapter must start with hf://, s3://, https://, pvc:// or file://. "
        "Write hf://organisation/name@commit or pvc://claim/path, for example.",
    )
    .must(
        r"hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*@[0-9a-f]{40}",
        "The source of an adapter must be hf://organisation/name@commit. "
        "Write the 40 digits of a commit, because a branch moves while pods start.",
        "hf://",
    )
    .must(
        _S3,
        "The source of an adapter must be s3://bucket/prefix. "
        "Write the name of a bucket and the prefix of the adapter's files, without .. or spaces.",
        "s3://",
    )
    .must(
        _HTTPS,
        "The source of an adapter must be https://host/folder/SHA256SUMS. "
        "Write the URL of the list that sha256sum wrote of its files, without a query or credentials.",
        "https://",
    )
    .must(
        r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*",
        "The source of an adapter must be pvc://claim/path. "
        "Write the name of a PersistentVolumeClaim and a path without .. or spaces.",
        "pvc://",
    )
    .must(
        r"file://(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+",
        "The source of an adapter must be file:///path. "
        "Write an absolute path in the image, without .. or spaces.",
        "file://",
    )
)
_sha256 = Text(64, 64).must(
    r"[0-9a-f]{64}", "must be a SHA-256: 64 digits and letters from a to f, as sha256sum prints it"
)

ModelSource = Annotated[str, *_source.annotations()]
AdapterSource = Annotated[str, *_adapter_source.annotations()]
Sha256 = Annotated[str, *_sha256.annotations()]

TOKEN_WITHOUT_HUB = "spec.model.tokenSecretRef is for hf:// and https:// sources only. Remove it."  # noqa: S105  # because it is a sentence
CREDENTIALS_WITHOUT_BUCKET = "spec.model.credentialsSecretRef is for s3:// sources only. Remove it."
SHA256_WITHOUT_LIST = "spec.model.sha256 is for https:// sources only. Remove it."
LIST_WITHOUT_SHA256 = (
    "spec.model.sha256 must be set with an https:// source, because a server can send anything. "
    "Write what sha256sum prints for the list of files."
)
ADAPTER_LIST = (
    "An adapter must have sha256 if its source is https://, and only then. "
    "Write what sha256sum prints for the list of files."
)
PICKLE_WITHOUT_DOWNLOAD = (
    "spec.model.allowPickle is for hf://, s3:// and https:// sources only. Remove it."
)


def _some_source(schemes: str) -> str:
    """Return the expression that the model or one of its adapters comes by one of these schemes."""
    matches = f".source.matches('^({schemes})://')"
    return f"self{matches} || (has(self.adapters) && self.adapters.exists(a, a{matches}))"


MODEL_RULES = (
    (f"!has(self.tokenSecretRef) || {_some_source('hf|https')}", TOKEN_WITHOUT_HUB),
    (f"!has(self.credentialsSecretRef) || {_some_source('s3')}", CREDENTIALS_WITHOUT_BUCKET),
    ("!has(self.sha256) || self.source.startsWith('https://')", SHA256_WITHOUT_LIST),
    ("has(self.sha256) || !self.source.startsWith('https://')", LIST_WITHOUT_SHA256),
    (
        f"!has(self.allowPickle) || !self.allowPickle || {_some_source('hf|s3|https')}",
        PICKLE_WITHOUT_DOWNLOAD,
    ),
)
ADAPTER_RULES = (("has(self.sha256) == self.source.startsWith('https://')", ADAPTER_LIST),)


class CredentialsReference(Model):
    """A Secret in the LLMDeployment's namespace with credentials of an S3 store."""

    name: ObjectName
    """Name of the Secret. Its keys are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if it is needed, AWS_SESSION_TOKEN. The store's
    address and region are no secrets: set AWS_ENDPOINT_URL and AWS_REGION in spec.engine.env."""


CREDENTIAL_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Keys of that Secret, each of which becomes a variable of the container that downloads."""


def is_downloaded(source: str) -> bool:
    """Say whether pods download a model from its source.

    >>> is_downloaded("s3://models/llama"), is_downloaded("pvc://models/llama")
    (True, False)
    """
    return source.startswith(("hf://", "s3://", "https://"))


def check_source_fields(
    source: str,
    adapters: tuple[str, ...],
    *,
    token: bool,
    credentials: bool,
    sha256: bool,
    pickle: bool,
) -> None:
    """Check that a model has the fields of its sources and no others, as `MODEL_RULES` do.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    schemes = {each.partition("://")[0] for each in (source, *adapters)}
    if token and not schemes & {"hf", "https"}:
        raise ValueError(TOKEN_WITHOUT_HUB)
    if credentials and "s3" not in schemes:
        raise ValueError(CREDENTIALS_WITHOUT_BUCKET)
    if sha256 and not source.startswith("https://"):
        raise ValueError(SHA256_WITHOUT_LIST)
    if source.startswith("https://") and not sha256:
        raise ValueError(LIST_WITHOUT_SHA256)
    if pickle and not any(map(is_downloaded, (source, *adapters))):
        raise ValueError(PICKLE_WITHOUT_DOWNLOAD)
