"""Secrets as files of a folder: Kubernetes, Docker and the agent of Vault mount them so."""

import warnings
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, SecretsSettingsSource, SettingsError

from meet_transcriber.core.errors import InvalidOptions


class MountedFiles(SecretsSettingsSource):
    """
    One file for each setting: its name in either case, its text without space around it.

    A file that leads out of the folder is refused, so that whoever may write links there
    cannot have other files read; Kubernetes' own links stay inside.
    """

    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_cls, folder)
        self._folder = folder

    def __call__(self) -> dict[str, Any]:
        """
        The settings that have a file which is not empty.

        Raises:
            InvalidOptions: there is no such folder, or a file of it cannot be read.
        """
        if not self._folder.is_dir():
            raise InvalidOptions(
                f"SECRETS_DIR is {self._folder}, and no folder is there; mount one, or unset it."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                values = super().__call__()
        except (OSError, SettingsError) as error:  # a broken file's bytes hang on the error
            raise InvalidOptions(self._words(error)) from None
        return {name: value for name, value in values.items() if value != ""}

    def _words(self, error: Exception) -> str:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            what = f"{cause.filename or 'a file'} cannot be read: {cause.strerror}"
        elif isinstance(cause, UnicodeDecodeError):
            what = "a file is no text in UTF-8"
        else:
            what = str(cause)
        return f"SECRETS_DIR {self._folder} cannot be used: {what}. Mend the file or take it away."
