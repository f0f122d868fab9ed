"""Who is calling, and whether they may: every route that touches jobs asks for its service here."""

import hmac
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from meet_transcriber.api.forms import BODY_UNREAD
from meet_transcriber.api.middleware.rate_limit import count_key
from meet_transcriber.bootstrap.auth import AuthContext
from meet_transcriber.core.auth import OPEN_SCOPES, SCOPES, Caller, SignedIn, caller_of
from meet_transcriber.core.errors import (
    AccessError,
    CsrfRefused,
    KeyRefused,
    KeyRequired,
    ScopeMissing,
    StorageError,
)
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings

COOKIE, CSRF_HEADER = "mt_session", "X-CSRF-Token"

_SAFE = {"GET", "HEAD", "OPTIONS"}
_HERE = ("127.", "::1", "::ffff:127.")
_MISSING = (
    "This needs an API key, in the header 'Authorization: Bearer mt_...'. Where the service runs, "
    "'meet-transcriber keys create NAME' makes one."
)


class Authenticate(SecurityBase):
    """
    Gives a route the service as its caller may use it; what is seen through it is their tenant's.

    It is a scheme of OpenAPI's, so that the document tells what a route needs; the other ways to
    show a key are put in beside it by `other_ways`, as each would cost every request its time.
    """

    def __init__(self) -> None:
        self.scheme_name = "ApiKey"
        self.model = HTTPBearerModel(description="An API key: `mt_<id>_<secret>`.")

    async def __call__(self, request: Request, wanted: SecurityScopes) -> Service:
        request.scope[BODY_UNREAD] = _has_body(request)  # a refusal must reach who is still sending
        caller = await authenticate(request)
        request.state.caller = caller
        await count_key(request, caller.key_id)
        if missing := [scope for scope in wanted.scopes if scope not in caller.scopes]:
            raise ScopeMissing(_not_enough(missing, caller))
        request.scope[BODY_UNREAD] = False
        service: Service = request.app.state.service
        return service.for_tenant(caller.tenant)


_DOOR = Authenticate()
ReaderService = Annotated[Service, Security(_DOOR, scopes=["read"])]
ToSubmit = Annotated[Service, Security(_DOOR, scopes=["submit"])]
ToTranscribe = Annotated[Service, Security(_DOOR, scopes=["submit", "read"])]
ToAdminister = Annotated[Service, Security(_DOOR, scopes=["admin"])]
ToMonitor = Annotated[Service, Security(_DOOR, scopes=["monitor"])]


def other_ways(document: dict[str, Any]) -> None:
    """Let an OpenAPI document say that a key may come in another header, or as a session."""
    schemes = document["components"]["securitySchemes"]
    schemes["ApiKeyHeader"] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    about = f"""What POST /session gives, over HTTPS as `__Host-{COOKIE}`; what changes anything \
needs {CSRF_HEADER}, too."""
    schemes["Session"] = {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": about}
    for methods in document["paths"].values():
        for operation in methods.values():
            for way in operation.get("security", ())[:1]:
                scopes = way["ApiKey"]
                operation["security"] += [{"ApiKeyHeader": scopes}, {"Session": scopes}]


def author_of(request: Request) -> str | None:
    """Who changes something: the name of their key, its id where it has none; None without one."""
    caller: Caller = request.state.caller
    return caller.name or caller.key_id or None


def guard_of(request: Request) -> AuthContext:
    """The guard of the app that serves a request."""
    guard: AuthContext = request.app.state.guard
    return guard


def token_in(request: Request) -> str | None:
    """The key that a request shows, in either header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip() or None


async def _can_read_details(request: Request) -> bool:
    """A key that is shown has to hold, or wrong ones could be told from right ones unnoticed."""
    try:
        return "read" in (await authenticate(request)).scopes
    except AccessError:
        if token_in(request):
            raise
        return False


async def is_still_authorized(request: Request) -> bool:
    """Whether the key or session of an answer that is under way still holds."""
    try:
        await authenticate(request)
    except AccessError:
        return False
    except StorageError:
        return True  # it was admitted, and nobody can tell otherwise
    return True


CanReadDetails = Annotated[bool, Depends(_can_read_details)]
"""Whether details of the inside may be told to this caller; who shows nothing is a stranger."""


async def authenticate(request: Request) -> Caller:
    """
    Who calls.

    Raises:
        KeyRequired, KeyRefused: nobody we know.
        CsrfRefused: perhaps a page of another site in their browser.
    """
    guard = guard_of(request)
    if guard.mode != "required":
        return _anybody(request, guard)
    if token := token_in(request):
        return caller_of(await run_in_threadpool(guard.keyring.check, token))
    if not session_token(request):
        raise KeyRequired(_MISSING)
    signed_in = await session_of(request)
    if request.method not in _SAFE:
        refuse_without_csrf_token(request, signed_in)
    return caller_of(signed_in.key)


def _anybody(request: Request, guard: AuthContext) -> Caller:
    """Who needs no key: in `open` mode for everyday things only, as a key outlives the mode."""
    if guard.mode == "loopback":
        peer = request.client.host if request.client else "127.0.0.1"
        if not peer.startswith(_HERE):
            raise KeyRequired("AUTH_MODE=loopback serves this machine alone; set it to required.")
    if request.method not in _SAFE:
        refuse_other_sites(request)
    return Caller(scopes=SCOPES if guard.mode == "loopback" else OPEN_SCOPES)


def cookie_name(request: Request) -> str:
    """The session's cookie; over HTTPS one that no neighbour in the domain can set (__Host-)."""
    return f"__Host-{COOKIE}" if request.scope["scheme"] == "https" else COOKIE


def session_token(request: Request) -> str | None:
    """What the session's cookie holds, if there is one."""
    return request.cookies.get(cookie_name(request)) or None


async def session_of(request: Request) -> SignedIn:
    """The session of a browser that signed in; raises KeyRefused where there is none."""
    token = session_token(request)
    if not token:
        raise KeyRefused("There is no session; sign in with POST /session.")
    return await run_in_threadpool(guard_of(request).keyring.session, token)


def refuse_without_csrf_token(request: Request, signed_in: SignedIn) -> None:
    """Raise CsrfRefused unless the page that sends this could read what signing in gave."""
    shown = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(shown.encode(), signed_in.csrf_token.encode()):
        raise CsrfRefused(f"A session needs its csrf_token in {CSRF_HEADER}; see GET /session.")


def refuse_other_sites(request: Request) -> None:
    """Raise CsrfRefused for what a page of another site made a browser send."""
    settings: Settings = request.app.state.settings
    origin = request.headers.get("origin")
    allowed = {each.strip() for each in settings.cors_origins.split(",")} - {""}
    if origin is not None and allowed & {origin, "*"}:
        return
    fetched = request.headers.get("sec-fetch-site", "")
    if fetched:
        foreign = fetched not in {"same-origin", "none"}
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise CsrfRefused("A page of another site sent this; CORS_ORIGINS may allow that site.")


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _not_enough(missing: list[str], caller: Caller) -> str:
    what = " and ".join(missing)
    if caller.key_id:
        return f"This API key has not the scope {what}; a key that has it is needed."
    return f"AUTH_MODE=open gives nobody the scope {what}; with AUTH_MODE=required a key has it."
