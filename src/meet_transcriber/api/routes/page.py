"""The web page and the API reference, served from this host alone."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path, PurePath

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

router = APIRouter(include_in_schema=False)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_POLICY = f"{_POLICY}; img-src 'self' data: blob:; media-src 'self' blob:"
_PERMISSIONS = "camera=(), geolocation=(), microphone=(self), payment=(), usb=()"
"""As for every response, except that the page may record."""

_METHODS = ["GET", "HEAD"]
_SUFFIXES = {".css", ".html", ".js", ".svg"}


class _Assets(StaticFiles):
    """
    Static files that browsers revalidate by a hash of their content.

    Starlette's own ETag is made of time and size, which two versions of a file may share where
    images are built with fixed times.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        if PurePath(path).suffix not in _SUFFIXES:
            return "", None
        return super().lookup_path(path)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        headers = {"ETag": content_tag(full_path), "Cache-Control": "no-cache"}
        response = FileResponse(full_path, status_code, headers, stat_result=stat_result)
        if self.is_not_modified(response.headers, Request(scope).headers):
            return NotModifiedResponse(response.headers)
        return response


def content_tag(path: str | os.PathLike[str]) -> str:
    """The ETag of a file; its content is read once per change."""
    found = Path(path).stat()
    return _tag(Path(path), found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=256)
def _tag(path: Path, *_version: int) -> str:
    return f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'


_PAGE = _Assets(packages=[("meet_transcriber", "page")])
_REFERENCE = _Assets(packages=[("meet_transcriber.api", "assets")])


@router.api_route("/", methods=_METHODS)
async def home(request: Request) -> Response:
    """The page."""
    response = await _PAGE.get_response("index.html", request.scope)
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    response.headers["Permissions-Policy"] = _PERMISSIONS
    return response


@router.api_route("/page/{name:path}", methods=_METHODS)
async def page_file(request: Request, name: str) -> Response:
    """A script, style or image of the page."""
    return await _PAGE.get_response(name, request.scope)


@router.api_route("/docs", methods=_METHODS)
async def docs(request: Request) -> Response:
    """The reference, rendered in the browser from /openapi.json."""
    response = await _REFERENCE.get_response("docs.html", request.scope)
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@router.api_route("/docs/{name}", methods=_METHODS)
async def docs_file(request: Request, name: str) -> Response:
    """Its script and its style."""
    return await _REFERENCE.get_response(name, request.scope)
