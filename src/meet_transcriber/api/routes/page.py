"""What people see in a browser: the page, and the reference of the API, from our own host alone."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from meet_transcriber.api.http import matches

router = APIRouter(include_in_schema=False)

IfNoneMatch = Annotated[str | None, Header()]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PERMISSIONS = "camera=(), geolocation=(), microphone=(self), payment=(), usb=()"
"""As for every answer, but that the page may record."""

_KINDS = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page, as it goes out."""

    data: bytes
    kind: str
    etag: str


@router.get("/")
def home(if_none_match: IfNoneMatch = None) -> Response:
    """The page."""
    headers = {"Content-Security-Policy": _PAGE_POLICY, "Permissions-Policy": _PERMISSIONS}
    return _answer("index.html", if_none_match, headers)


@router.get("/page/{name:path}")
def page_file(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """A script, a style or a picture of the page."""
    return _answer(name, if_none_match, {})


@router.get("/docs")
def docs() -> Response:
    """The reference, made in the browser from /openapi.json."""
    return HTMLResponse(_asset("docs.html"), headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/docs.js")
def docs_script() -> Response:
    """The reference's script."""
    return Response(_asset("docs.js"), media_type=_KINDS["js"])


@router.get("/docs/docs.css")
def docs_style() -> Response:
    """The reference's style."""
    return Response(_asset("docs.css"), media_type=_KINDS["css"])


@cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page by its path; nothing else is ever served."""
    return dict(_files_below(files("meet_transcriber").joinpath("page"), ""))


def _files_below(folder: Traversable, path: str) -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for each in folder.iterdir():
        kind = _KINDS.get(each.name.rpartition(".")[2])
        if each.is_dir():
            found += _files_below(each, f"{path}{each.name}/")
        elif kind:
            data = each.read_bytes()
            etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            found.append((path + each.name, PageFile(data, kind, etag)))
    return found


def _answer(name: str, if_none_match: str | None, headers: dict[str, str]) -> Response:
    file = page_files().get(name)
    if file is None:
        raise HTTPException(404, f"The page has no file {name!r}.")
    headers |= {"ETag": file.etag, "Cache-Control": "no-cache"}
    if matches(if_none_match, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.data, 200, headers, file.kind)


def _asset(name: str) -> bytes:
    return files("meet_transcriber.api").joinpath("assets", name).read_bytes()
