"""A stand-in for an S3 store, as far as a download looks: lists below a prefix, objects with ranges, and each signature checked.

Source of the signature: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.support.file_server import FileAnswer, FileServer
from typing_extensions import override

BUCKET, PREFIX = "models", "llama/3"
KEY_ID, KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
_signed_apart = "X-Amz-Signature"


class Bucket(FileServer):
    """Holds objects below `PREFIX` of `BUCKET`."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        super().__init__(_Answer)
        self.objects = {f"{PREFIX}/{name}": data for name, data in objects.items()}
        self.multipart = False
        """Whether ETags are those of objects that were uploaded in parts: no MD5."""

        self.public = False
        """Whether requests without a signature are answered too."""

    def tell_etag(self, key: str) -> str:
        etag = hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()
        return f'"{etag}-2"' if self.multipart else f'"{etag}"'

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": KEY,
        }


class _Answer(FileAnswer):
    @override
    def answer(self) -> None:
        bucket = self.server
        assert isinstance(bucket, Bucket)
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if not bucket.public and not self._is_signed(query):
            return self._refuse(403, "SignatureDoesNotMatch")
        name, _, key = unquote(parts.path).lstrip("/").partition("/")
        if name != BUCKET:
            return self._refuse(404, "NoSuchBucket")
        if not key:
            return self.send_text(_list(bucket, query.get("prefix", "")), "application/xml")
        if key not in bucket.objects:
            return self._refuse(404, "NoSuchKey")
        short = key.removeprefix(f"{PREFIX}/")
        return self.send_file(short, bucket.objects[key], {"etag": bucket.tell_etag(key)})

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>refused</Message></Error>".encode()
        self.send_head(status, len(body), {"content-type": "application/xml"})
        self.wfile.write(body)

    def _is_signed(self, query: Mapping[str, str]) -> bool:
        """Say whether a request carries the signature that our key makes, in its header or its URL."""
        given = self.headers.get("authorization", "")
        if given:
            fields = dict(
                part.split("=", 1) for part in given.partition(" ")[2].replace(", ", ",").split(",")
            )
            scope, names = fields["Credential"].partition("/")[2], fields["SignedHeaders"]
            payload, at = self.headers["x-amz-content-sha256"], self.headers["x-amz-date"]
            found, known = fields["Signature"], fields["Credential"].split("/")[0]
        elif _signed_apart in query:
            known, _, scope = query["X-Amz-Credential"].partition("/")
            names, at = query["X-Amz-SignedHeaders"], query["X-Amz-Date"]
            payload, found = "UNSIGNED-PAYLOAD", query[_signed_apart]
        else:
            return False
        pairs = sorted((k, v) for k, v in query.items() if k != _signed_apart)
        written = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names.split(";"))
        path = quote(unquote(urlsplit(self.path).path))
        request = f"{self.command}\n{path}\n{written}\n{headers}\n{names}\n{payload}"
        told = hashlib.sha256(request.encode()).hexdigest()
        return known == KEY_ID and found == _sign(scope, f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{told}")


def _sign(scope: str, text: str) -> str:
    key = f"AWS4{KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _list(bucket: Bucket, prefix: str) -> str:
    rows = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>{escape(bucket.tell_etag(key))}</ETag><Size>{len(data)}</Size></Contents>"
        for key, data in sorted(bucket.objects.items())
        if key.startswith(prefix)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    )
