"""Parses REDIS_URL once, for redis-py and for Celery, which expect different forms.

Only `client_url`, `broker_url` and the transport options contain secrets; errors and `repr` do
not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, get_args
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from meet_transcriber.core.errors import InvalidOptions

Kind = Literal["redis", "rediss", "unix", "sentinel"]

_KINDS: Mapping[str, Kind] = {**{kind: kind for kind in get_args(Kind)}, "redis+socket": "unix"}
_PORTS: Mapping[Kind, int] = {"redis": 6379, "rediss": 6379, "unix": 0, "sentinel": 26379}
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CERT_REQS = ("required", "optional", "none")
_DATABASE = ("db", "virtual_host")  # the parameter of redis-py and of Celery


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address of one Redis.

    Attributes:
        kind: scheme; for `sentinel`, `hosts` are the sentinels.
        hosts: host names or addresses, with ports.
        path: path of the socket, for `unix`.
        db: database number.
        master_name: name of the Redis at the sentinels.
        tls: `ssl_cert_reqs` and files, named as in redis-py and Celery.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    master_name: str | None = None
    tls: Mapping[str, str] = field(default_factory=dict)

    @property
    def client_url(self) -> str:
        """The URL for redis.Redis.from_url; empty for sentinels."""
        if self.kind == "sentinel":
            return ""
        if self.kind == "unix":
            return f"unix://{self._login()}{quote(self.path)}?db={self.db}"
        return self._host_url(self.kind, *self.hosts[0], login=self._login())

    @property
    def broker_url(self) -> str:
        """The URL for Celery's `broker_url`."""
        if self.kind == "unix":
            return f"redis+socket://{self._login()}{quote(self.path)}?virtual_host={self.db}"
        login = self._login()
        return ";".join(self._host_url(self.kind, *host, login=login) for host in self.hosts)

    @property
    def broker_transport_options(self) -> dict[str, Any]:
        """Celery's setting of that name: what sentinels need beside the URL."""
        return {"master_name": self.master_name} if self.kind == "sentinel" else {}

    @property
    def masked(self) -> str:
        """The address with its user, without secrets, for logs and errors."""
        user = quote(self.username or "", safe="")
        login = f"{user}:***@" if self.password else f"{user}@" if user else ""
        if self.kind == "unix":
            return f"unix://{login}{self.path}?db={self.db}"
        return ";".join(self._host_url(self.kind, *host, login, False) for host in self.hosts)

    def _login(self) -> str:
        user = quote(self.username or "", safe="")
        if self.password:
            return f"{user}:{quote(self.password, safe='')}@"
        return f"{user}@" if user else ""

    def _host_url(self, kind: str, host: str, port: int, login: str, tls: bool = True) -> str:
        host = f"[{host}]" if ":" in host else host
        query = f"?{urlencode(self.tls)}" if tls and self.tls else ""
        return f"{kind}://{login}{host}:{port}/{self.db}{query}"


def parse_redis_url(
    url: str, password: str | None = None, master_name: str | None = None
) -> RedisAddress:
    """
    Parse REDIS_URL: `redis://`, `rediss://`, `unix://` or `redis+socket://`, or
    `sentinel://one:26379;sentinel://two:26379/0`.

    Args:
        password: REDIS_PASSWORD, used if the URL has none.
        master_name: name of the Redis at the sentinels.

    Raises:
        InvalidOptions: the URL is invalid; the message does not contain it.
    """
    parts = [_split(part) for part in url.strip().split(";") if part.strip()]
    if not parts:
        _refuse("is empty")
    kind, last = _kind(parts), parts[-1]
    # Hosts first: an unescaped password can look like options, which errors would name.
    hosts = () if kind == "unix" else tuple(_host(kind, part) for part in parts)
    path = _socket_path(last) if kind == "unix" else ""
    if kind == "sentinel" and not master_name:
        _refuse("names sentinels, but not their Redis: set REDIS_MASTER_NAME")
    options = _options(kind, last)
    # clients log in to all sentinels alike, so one of the URLs may carry the login
    first = next((part for part in parts if part.password or part.username), last)
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        path=path,
        db=_database(kind, last, options),
        username=unquote(first.username) if first.username else None,
        password=unquote(first.password) if first.password else password or None,
        master_name=master_name if kind == "sentinel" else None,
        tls=_tls(options) if kind == "rediss" else {},
    )


def _refuse(reason: str) -> NoReturn:
    # Without the cause: errors of the standard library quote the URL with its password.
    raise InvalidOptions(
        f"REDIS_URL {reason}. It should look like redis://redis:6379/0; a password with special "
        "characters goes into REDIS_PASSWORD."
    ) from None


def _split(part: str) -> SplitResult:
    try:
        return urlsplit(part.strip())
    except ValueError:
        _refuse("is not a URL")


def _kind(parts: list[SplitResult]) -> Kind:
    kinds = {_KINDS.get(part.scheme) for part in parts}
    (kind, *others) = kinds
    if kind is None or others:
        _refuse(f"must start with one of {', '.join(f'{name}://' for name in _KINDS)}")
    if len(parts) > 1 and kind != "sentinel":
        _refuse("names several servers, which only sentinel:// allows")
    return kind


def _host(kind: Kind, part: SplitResult) -> tuple[str, int]:
    try:
        port = part.port
    except ValueError:
        _refuse("has a port that is not a number")
    if not part.hostname or part.fragment:
        _refuse("names no host, or has a '#', '?' or '/' in its password")
    return unquote(part.hostname), port or _PORTS[kind]


def _socket_path(part: SplitResult) -> str:
    if part.hostname or len(part.path) < len("/x"):
        _refuse("must name a socket by its absolute path, such as unix:///run/redis.sock")
    return unquote(part.path)


def _options(kind: Kind, part: SplitResult) -> dict[str, str]:
    known = {
        "unix": _DATABASE,
        "rediss": ("db", "ssl_cert_reqs", "ssl_check_hostname", *_TLS_FILES),
    }.get(kind, ("db",))
    options = dict(parse_qsl(part.query))
    if unknown := sorted(set(options) - set(known)):
        _refuse(f"has the unknown option {unknown[0][:40]!r}; supported are {', '.join(known)}")
    return options


def _database(kind: Kind, part: SplitResult, options: Mapping[str, str]) -> int:
    given = "" if kind == "unix" else part.path.strip("/")
    for name in _DATABASE:
        given = options.get(name, given)
    if given and not (given.isascii() and given.isdigit()):
        _refuse("names a database that is not a number")
    return int(given or 0)


def _tls(options: Mapping[str, str]) -> dict[str, str]:
    """Return TLS options; certificates are verified unless the URL says otherwise."""
    wanted = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if wanted not in _CERT_REQS:
        _refuse(f"has an unknown ssl_cert_reqs; use one of {', '.join(_CERT_REQS)}")
    rest = {name: options[name] for name in ("ssl_check_hostname", *_TLS_FILES) if name in options}
    return {"ssl_cert_reqs": wanted, **rest}
