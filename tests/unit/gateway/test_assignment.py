import pytest

from llmdeployment_gateway.assignment import DEFAULT, Key, build_rules, parse_keys, reads_bodies
from llmdeployment_operator.api.assignment import DEFAULT_KEYS


def test_both_sides_mean_the_same_by_default() -> None:
    assert parse_keys(",".join(DEFAULT_KEYS)) == DEFAULT


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("APIKey", (Key("APIKey"),)),
        ("Header/x-user,APIKey", (Key("Header", "x-user"), Key("APIKey"))),
        ("Body/user_id,Header/x_2", (Key("Body", "user_id"), Key("Header", "x_2"))),
    ],
)
def test_keys_keep_their_order(text: str, keys: tuple[Key, ...]) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' must be Header/<lower-case name>, Body/<top-level field> or APIKey"),
        ("Header/x-user,", "'' must be"),
        ("Header/x-user, APIKey", "' APIKey' must be"),
        ("Header/X-User", "'Header/X-User' must be"),
        ("Header/x user", "must be"),
        ("Header/", "must be"),
        ("Body/metadata.user", "must be"),
        ("Body/1", "must be"),
        ("Cookie/session", "must be"),
        ("APIKey,APIKey", "names a key twice"),
        ("Body/user,Header/x-user,Body/user", "names a key twice"),
    ],
)
def test_what_is_no_key_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_keys(text)

    assert says in str(refused.value)


def test_bodies_are_waited_for_only_when_a_key_is_in_them() -> None:
    assert [
        reads_bodies(parse_keys(text)) for text in ("Header/x-user,APIKey", "APIKey,Body/user")
    ] == [
        False,
        True,
    ]
    assert "wait-for-body" not in build_rules(DEFAULT)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("Header/a,Body/user", "Send the header a instead."),
        ("Header/a,Header/b,Body/user", "Send the header a instead."),
        # A header that is looked for after the body does not help a body that cannot be looked into.
        (
            "Body/user,Header/a",
            "Send a smaller body, or let the LLMDeployment list a header first in spec.gateway.assignment.keys",
        ),
        (
            "APIKey,Body/user",
            "Send a smaller body, or let the LLMDeployment list a header first in spec.gateway.assignment.keys",
        ),
    ],
)
def test_the_refusal_of_a_body_that_is_too_large_says_what_helps(text: str, instead: str) -> None:
    sentence = f"find its field user, by which it assigns requests. {instead}"

    assert sentence in build_rules(parse_keys(text))
