"""Names and consents as they may be kept with voices; pure."""

from meet_transcriber.core.edits import LABEL, LONGEST_NAME
from meet_transcriber.core.errors import InvalidOptions

LONGEST_NOTE = 500


def checked_person(name: object) -> str:
    """A name as it is kept; raises InvalidOptions for what is none."""
    text = name.strip() if isinstance(name, str) else ""
    if not (1 <= len(text) <= LONGEST_NAME and text.isprintable()):
        raise InvalidOptions(
            f"name must be the person's name, of 1 to {LONGEST_NAME} printable characters."
        )
    if LABEL.fullmatch(text.upper()):
        raise InvalidOptions(f"{text} is the label of a speaker; name must be the person's name.")
    return text


def checked_consent(consent: object) -> str:
    """
    The note of a consent; "" where it was given without one.

    Raises:
        InvalidOptions: there is no consent.
    """
    if consent is True or (isinstance(consent, str) and consent.strip().lower() == "true"):
        return ""
    text = consent.strip() if isinstance(consent, str) else ""
    if not 1 <= len(text) <= LONGEST_NOTE or text.lower() in {"false", "no", "0"}:
        raise InvalidOptions(
            "A voice is kept only with the person's consent: set consent to true, or to a note "
            f"of up to {LONGEST_NOTE} characters such as who agreed to it, when and how."
        )
    return text
