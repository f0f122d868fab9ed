"""The reference of the API in a browser, from our own host alone."""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse, Response

router = APIRouter(include_in_schema=False)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS = {"docs.js": "text/javascript", "docs.css": "text/css"}


def _asset(name: str) -> bytes:
    return files("meet_transcriber.api").joinpath("assets", name).read_bytes()


@router.get("/")
async def home() -> Response:
    """There is the reference only, for now."""
    return RedirectResponse("/docs")


@router.get("/docs")
def docs() -> Response:
    """The reference, made in the browser from /openapi.json."""
    return HTMLResponse(_asset("docs.html"), headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/docs.js")
def docs_script() -> Response:
    """The reference's script."""
    return Response(_asset("docs.js"), media_type=_KINDS["docs.js"])


@router.get("/docs/docs.css")
def docs_style() -> Response:
    """The reference's style."""
    return Response(_asset("docs.css"), media_type=_KINDS["docs.css"])
