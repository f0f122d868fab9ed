"""The URLs of object stores."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.buckets.errors import translated
from meet_transcriber.stores.object_io import is_key

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_KINDS = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
# obstore reads these by itself, but takes plain http only where it is told so.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": (),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}

# Long enough for a restart of the store, short enough for somebody who waits for a page.
_RETRIES: Any = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=3),
        "base": 2,
    },
}


class Place(NamedTuple):
    """What a URL and the environment say."""

    kind: str
    bucket: str
    prefix: str | None
    config: dict[str, str]
    allow_http: bool

    @classmethod
    def parse(cls, url: str, endpoint: str | None) -> "Place":
        """Read `s3://bucket/prefix` and its like; raises StorageError for anything else."""
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        if (
            parts.scheme not in _KINDS
            or not is_key(parts.netloc)
            or (prefix and not is_key(prefix))
            or parts.query
            or parts.fragment
        ):
            raise StorageError(
                "MEDIA_URL names no place for recordings. It looks like s3://bucket/prefix, "
                "gs://bucket/prefix or az://container/prefix."
            )
        config = {"aws_endpoint_url_s3": endpoint} if endpoint and parts.scheme == "s3" else {}
        named = endpoint, *map(os.environ.get, _ENDPOINTS[parts.scheme])
        in_force = next(filter(None, named), "")
        allow_http = in_force.startswith("http://")
        return cls(parts.scheme, parts.netloc, prefix or None, config, allow_http)

    def open(self, patience_seconds: float) -> "ObjectStore":
        """Make a store; nothing is asked of it yet."""
        options: Any = {
            "allow_http": self.allow_http,
            "connect_timeout": timedelta(seconds=2),
            "timeout": timedelta(seconds=patience_seconds),
        }
        with translated("use", f"{self.kind}://{self.bucket}"):
            made: ObjectStore = _KINDS[self.kind](
                self.bucket,
                prefix=self.prefix,
                config=self.config,
                client_options=options,
                retry_config=_RETRIES,
            )
            return made
