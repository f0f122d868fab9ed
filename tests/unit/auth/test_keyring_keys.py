"""API keys as texts."""

import pytest

from meet_transcriber.auth.keyring import StaticKey, digest, id_in, new_id, new_token, read_static
from meet_transcriber.core.auth import validate_name, validate_scopes
from meet_transcriber.core.errors import InvalidOptions

LONG = "0123456789abcdef"


def test_a_key_has_a_visible_prefix_and_256_random_bits() -> None:
    tokens = {new_token("aa") for _ in range(100)}
    assert len(tokens) == 100
    assert {token[:6] for token in tokens} == {"mt_aa_"}
    assert {len(token[6:]) for token in tokens} == {43}  # 43 x 6 bits


def test_the_id_is_found_in_any_key() -> None:
    for _ in range(100):
        key_id = new_id()
        assert id_in(new_token(key_id)) == key_id


@pytest.mark.parametrize("text", ["", "mt", "mt_", "mt_aa", "mt__x", "mt_aa_", "sk_aa_x", "\ud800"])
def test_other_text_has_no_key_id(text: str) -> None:
    assert id_in(text) is None


def test_digests_depend_on_pepper_purpose_and_text() -> None:
    made = {digest(p, u, t) for p in (b"a", b"b") for u in ("key", "csrf") for t in ("x", "é")}
    assert len(made) == 8
    assert {len(each) for each in made} == {64}


def test_static_keys_are_read_in_every_form() -> None:
    text = f"{LONG},\nci:{LONG}1\n bot:{LONG}2:read , ops:{LONG}3:admin+read:acme,a:{LONG}4::"
    assert read_static(text) == [
        StaticKey("key-1", LONG, ("submit", "read"), ""),
        StaticKey("ci", f"{LONG}1", ("submit", "read"), "ci"),
        StaticKey("bot", f"{LONG}2", ("read",), "bot"),
        StaticKey("ops", f"{LONG}3", ("read", "admin"), "acme"),
        StaticKey("a", f"{LONG}4", ("submit", "read"), ""),
    ]


@pytest.mark.parametrize(
    "text",
    ["secret", f"a b:{LONG}", f"ci:{LONG}:everything", f"ci:{LONG}:read:acme:x", f"ci:{LONG}::a/b",
     f"ci:{LONG},ci:{LONG}1", "ci:" + "x" * 600],
)  # fmt: skip
def test_a_malformed_static_key_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(InvalidOptions, match="API_KEYS") as raised:
        read_static(text)
    assert LONG not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "xxx" not in str(raised.value)


@pytest.mark.parametrize("name", ["", ".a", "a b", "a\n", "a/b", "é", "a" * 65, "../x"])
def test_names_have_safe_characters_only(name: str) -> None:
    with pytest.raises(InvalidOptions):
        validate_name(name)


def test_scopes_are_unique_and_in_canonical_order() -> None:
    assert validate_scopes(["read", "submit", "read"]) == ("submit", "read")
    for wrong in ([], [""], ["root"], ["read", "write"], [" read"]):
        with pytest.raises(InvalidOptions):
            validate_scopes(wrong)
