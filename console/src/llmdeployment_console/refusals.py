"""Answers that refuse a request with one sentence."""

from http import HTTPStatus

from starlette.responses import JSONResponse


class RequestRefused(Exception):
    """A request is not carried out; the message is for the person at the page."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def build_refusal(refused: RequestRefused) -> JSONResponse:
    """Return the answer."""
    body = {"error": {"message": refused.message, "code": refused.code}}
    return JSONResponse(body, status_code=refused.status)
