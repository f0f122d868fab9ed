"""Authentication and authorization: dependencies that give a route the service it may use."""

import hmac
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from meet_transcriber.api.errors import BODY_UNREAD
from meet_transcriber.api.http import first_header
from meet_transcriber.api.middleware.rate_limit import count_key
from meet_transcriber.bootstrap.auth import AuthContext
from meet_transcriber.core.auth import OPEN_SCOPES, SCOPES, Caller, SignedIn, caller_of
from meet_transcriber.core.errors import (
    AccessError,
    CsrfRefused,
    KeyRefused,
    KeyRequired,
    ScopeMissing,
)
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings, listed

COOKIE, CSRF_HEADER = "mt_session", "X-CSRF-Token"
COOKIES = (COOKIE, f"__Host-{COOKIE}")
"""Over HTTP, and over HTTPS a name that other subdomains cannot set."""

_SAFE = {"GET", "HEAD", "OPTIONS"}  # change nothing, so a forged one does no harm
_MISSING = (
    "This needs an API key, in the header 'Authorization: Bearer mt_...'. Where the service runs, "
    "'meet-transcriber keys create NAME' makes one."
)


class Authenticate(SecurityBase):
    """
    Dependency that checks key and scopes and returns the service narrowed to the caller's tenant.

    As a security scheme it also documents the scopes of a route. `add_key_schemes` documents the
    other ways to send a key, since each scheme as a dependency would cost every request time.
    """

    def __init__(self) -> None:
        self.scheme_name = "ApiKey"
        self.model = HTTPBearerModel(description="An API key: `mt_<id>_<secret>`.")

    async def __call__(self, request: Request, wanted: SecurityScopes) -> Service:
        # A refusal must reach a client that is still sending.
        length = first_header(request, b"content-length") or "0"
        chunked = first_header(request, b"transfer-encoding") is not None
        request.scope[BODY_UNREAD] = length != "0" or chunked
        caller = await authenticate(request)
        request.state.caller = caller
        await count_key(request, caller.key_id)
        if missing := [scope for scope in wanted.scopes if scope not in caller.scopes]:
            raise ScopeMissing(_scope_message(missing, caller))
        request.scope[BODY_UNREAD] = False
        service: Service = request.app.state.service
        return service.for_tenant(caller.tenant)


_AUTHENTICATE, _READER = Authenticate(), SecurityScopes(["read"])
ReaderService = Annotated[Service, Security(_AUTHENTICATE, scopes=["read"])]
SubmitService = Annotated[Service, Security(_AUTHENTICATE, scopes=["submit"])]
TranscribeService = Annotated[Service, Security(_AUTHENTICATE, scopes=["submit", "read"])]
AdminService = Annotated[Service, Security(_AUTHENTICATE, scopes=["admin"])]
MonitorService = Annotated[Service, Security(_AUTHENTICATE, scopes=["monitor"])]


async def authenticate_reader(request: Request) -> Service:
    """Return what a `ReaderService` is, for a route that FastAPI does not resolve."""
    return await _AUTHENTICATE(request, _READER)


def add_key_schemes(document: dict[str, Any]) -> None:
    """Document in OpenAPI that a key may come in another header, or as a session."""
    schemes = document["components"]["securitySchemes"]
    schemes["ApiKeyHeader"] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    about = f"""Set by POST /session; over HTTPS named `__Host-{COOKIE}`. Requests that change \
anything need {CSRF_HEADER}, too."""
    schemes["Session"] = {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": about}
    for methods in document["paths"].values():
        for operation in methods.values():
            for way in operation.get("security", ())[:1]:
                scopes = way["ApiKey"]
                operation["security"] += [{"ApiKeyHeader": scopes}, {"Session": scopes}]


def get_author(request: Request) -> str | None:
    """The author of a change: the name of the key, or its id; None without a key."""
    caller: Caller = request.state.caller
    return caller.name or caller.key_id or None


def get_auth(request: Request) -> AuthContext:
    """The authentication of the app that serves a request."""
    auth: AuthContext = request.app.state.auth
    return auth


def settings_of(request: Request) -> Settings:
    """The settings of the app that serves a request."""
    settings: Settings = request.app.state.settings
    return settings


def read_token(request: Request) -> str | None:
    """The key in either header of a request; None without one."""
    scheme, _, token = (first_header(request, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return (first_header(request, b"x-api-key") or "").strip() or None


async def _can_read_details(request: Request) -> bool:
    """Raises for an invalid key, or keys could be guessed here without being counted."""
    try:
        caller = await authenticate(request)
    except AccessError:
        if read_token(request):
            raise
        return False
    await count_key(request, caller.key_id)
    return "read" in caller.scopes


CanReadDetails = Annotated[bool, Depends(_can_read_details)]
"""Whether internal details may be shown to this caller; never without a key."""


async def authenticate(request: Request) -> Caller:
    """
    Identify the caller.

    Raises:
        KeyRequired, KeyRefused: the key is missing or invalid.
        CsrfRefused: a page of another site may have sent this from the caller's browser.
    """
    auth = get_auth(request)
    if auth.mode != "required":  # `not_local` has refused other machines in `loopback` mode
        if request.method not in _SAFE:
            reject_cross_site(request)
        # in `open` mode not the scope to make keys, as a key outlives the mode
        return Caller(scopes=SCOPES if auth.mode == "loopback" else OPEN_SCOPES)
    if token := read_token(request):
        return caller_of(await auth.keyring.identify(token))
    if not read_session_token(request):
        raise KeyRequired(_MISSING)
    signed_in = await find_session(request)
    if request.method not in _SAFE:
        check_csrf_token(request, signed_in)
    return caller_of(signed_in.key)


def cookie_name(request: Request) -> str:
    """The session cookie's name, one of `COOKIES`."""
    return COOKIES[request.scope["scheme"] == "https"]


def read_session_token(request: Request) -> str | None:
    """The value of the session's cookie; None without one."""
    return request.cookies.get(cookie_name(request)) or None


async def find_session(request: Request) -> SignedIn:
    """The session of a browser that signed in; raises KeyRefused without a valid one."""
    token = read_session_token(request)
    if not token:
        raise KeyRefused("There is no session; sign in with POST /session.")
    return await run_in_threadpool(get_auth(request).keyring.resume_session, token)


def check_csrf_token(request: Request, signed_in: SignedIn) -> None:
    """Raise CsrfRefused unless the request has the CSRF token of its session."""
    given = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), signed_in.csrf_token.encode()):  # in constant time
        raise CsrfRefused(f"A session needs its csrf_token in {CSRF_HEADER}; see GET /session.")


def reject_cross_site(request: Request) -> None:
    """Raise CsrfRefused for a request that a page of another site sent through a browser."""
    origin = request.headers.get("origin")
    if origin is not None and {origin, "*"} & {*listed(settings_of(request).cors_origins)}:
        return
    fetched = request.headers.get("sec-fetch-site", "")
    if fetched:  # browsers since 2023; older ones send only Origin
        foreign = fetched not in {"same-origin", "none"}  # none: typed or bookmarked
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise CsrfRefused("A page of another site sent this; CORS_ORIGINS may allow that site.")


def _scope_message(missing: list[str], caller: Caller) -> str:
    scopes = " and ".join(map(repr, missing))
    if caller.key_id:
        return f"This API key lacks the scope {scopes}."
    return f"AUTH_MODE=open grants no one the scope {scopes}; AUTH_MODE=required grants it to keys."
