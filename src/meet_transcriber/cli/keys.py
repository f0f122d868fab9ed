"""`meet-transcriber keys`: API keys of the service that these settings describe."""

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.bootstrap import auth, services
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, stderr
from meet_transcriber.core.audit import AuditEntry
from meet_transcriber.core.auth import ApiKey, NewKey, Scope, checked_scopes

app = typer.Typer(no_args_is_help=True, help="API keys, where the service keeps its jobs.")

_DAY_SECONDS = 86_400.0

KeyId = Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for: letters, digits, '.', '_', '-'.")],
    scopes: Annotated[
        str, typer.Option(help="Some of submit, read, admin and monitor, with commas.")
    ] = "submit,read",
    tenant: Annotated[
        str | None, typer.Option(help="Whose jobs it makes and sees; its name where left out.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days that it holds; for ever unset.")
    ] = None,
) -> None:
    """Make a key and print it; nobody can show it again."""
    with _guarded() as guard:
        expires_at = None if days is None else time.time() + days * _DAY_SECONDS
        owner = name if tenant is None else tenant
        made = guard.keyring.create(name, owner, _scopes(scopes), expires_at)
        _write_down(guard, "create_key", made.key)
        _print(made)


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for programs.")] = False,
) -> None:
    """Show all keys, without their secrets."""
    with _guarded() as guard:
        keys = guard.keyring.keys()
        if as_json:
            typer.echo(json.dumps([_plain(key) for key in keys], indent=2))
            return
        table = Table("id", "name", "tenant", "scopes", "made", "last used", "state")
        for key in keys:
            made, used = _moment(key.created_at), _moment(key.used_at)
            table.add_row(
                key.id, key.name, key.tenant, " ".join(key.scopes), made, used, _state(key)
            )
        Console().print(table)


@app.command()
def revoke(key_id: KeyId) -> None:
    """Let a key and its sessions hold no more, at once."""
    with _guarded() as guard:
        key = guard.keyring.revoke(key_id)
        _write_down(guard, "revoke_key", key)
        stderr.print(f"{key.name} ({key.id}) holds no more.", markup=False)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        int, typer.Option(min=0, max=86_400, help="Seconds that the old secret counts on.")
    ] = 0,
) -> None:
    """Give a key another secret and print it; sessions that it began are over."""
    with _guarded() as guard:
        made = guard.keyring.rotate(key_id, float(overlap))
        _write_down(guard, "rotate_key", made.key)
        _print(made)


@contextmanager
def _guarded() -> Iterator[auth.AuthContext]:
    with errors_become_exit_codes():
        settings = load_settings()
        jobs = services.stores(settings).jobs
        try:
            yield auth.build_auth(settings, jobs)
        finally:
            jobs.close()


def _scopes(text: str) -> tuple[Scope, ...]:
    return checked_scopes(name.strip() for name in text.split(","))


def _write_down(guard: auth.AuthContext, action: str, key: ApiKey) -> None:
    who = f"terminal {_user()}".strip()
    guard.trail.append(AuditEntry(time.time(), action, target=key.id, address=who))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _print(made: NewKey) -> None:
    scopes = " ".join(made.key.scopes)
    stderr.print(f"{made.key.name} ({made.key.id}), scopes {scopes}:", markup=False)
    typer.echo(made.token)


def _plain(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "used_at": key.used_at,
        "static": key.static,
    }


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "holds"
    return "expired" if key.expires_at <= time.time() else f"until {_moment(key.expires_at)}"


def _moment(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else ""
