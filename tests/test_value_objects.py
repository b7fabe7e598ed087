"""Value objects: one way of making them, and none of them prints what must not be read."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

import msgspec
import pytest
from test_house import modules, tree

from values import Confidential

pytestmark = pytest.mark.quick

CANARY = "canary-of-a-secret"
# Fields that hold something secret as plain text wherever they have one of these names.
SECRET_NAMES = re.compile(
    "code|known|link|password|(person|session)_mark|push_(key|token)|seal(ed|ed_key|ing)|secret|session_key|skey|token|totp"
    "|user_info"
)
# Types of such a field that need not be hidden: a yes or no, and what prints itself as stars.
HARMLESS = re.compile(r"bool|Secret\b|SessionKey")
# Where the name alone does not tell: tokens of cookies, a new key's text, bodies with keys and phone numbers in them.
SECRET_FIELDS = {
    "actions.imports._Live.key",
    "actions.service_keys.AddedKey.text",
    "actions.signing_in.Browser.session",
    "actions.signing_in.SignedIn.session",
    "actions.signing_in.Tokens.session",
    "stores.sessions.packed.Stash.value",
    "wechat.answers.PhoneNumber.number",
    "wechat.answers.Reply.body",
    "wechat.simulator.asking.Question.body",
    "wechat.simulator.asking.Question.query",
    "wechat.simulator.state.Answered.body",
    "wechat.simulator.state.Answered.query",
    "wechat.wire.Question.body",
    "wechat.wire.Question.query",
}


def below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Yield every kind of value object that is made from this one."""
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


def value_objects() -> list[type[msgspec.Struct]]:
    """Load the whole product and return every kind of value object in it."""
    rooms = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in modules(guests=False)}
    for room in sorted(rooms):
        importlib.import_module(room)
    return sorted({each for each in below(msgspec.Struct) if each.__module__ in rooms}, key=str)


def holds_a_secret(kind: type[msgspec.Struct], field: str) -> bool:
    """Say whether a field holds a secret as plain text."""
    wanted = str(inspect.get_annotations(kind).get(field))
    by_name = SECRET_NAMES.fullmatch(field) and not HARMLESS.search(wanted)
    return bool(by_name) or f"{kind.__module__}.{kind.__name__}.{field}" in SECRET_FIELDS


def test_no_value_object_prints_a_secret() -> None:
    printed, looked_at = [], set()
    for kind in value_objects():
        secret = {field for field in kind.__struct_fields__ if holds_a_secret(kind, field)}
        one = kind(**{field: CANARY if field in secret else "" for field in kind.__struct_fields__})
        looked_at |= {f"{kind.__module__}.{kind.__name__}.{field}" for field in secret}
        printed += [kind] if CANARY in repr(one) else []
    assert not printed
    assert looked_at > SECRET_FIELDS | {"actions.login.LoggedIn.token", "stores.sessions.promise.Session.sealed_key"}


def test_a_confidential_value_object_tells_its_name_and_nothing_else() -> None:
    class Ticket(Confidential, frozen=True):
        token: str

    assert repr(Ticket("mps_" + CANARY)) == "Ticket(***)"
    assert Ticket("a") == Ticket("a") != Ticket("b")


def frozen_dataclasses(name: str, module: ast.Module) -> Iterator[str]:
    """Yield a sentence for each value object that is made the dear way."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and re.search(r"@.*dataclass\(.*frozen=True", ast.unparse(node)):
            yield f"{name}: {node.name} is a value object, which is a msgspec.Struct"


def test_value_objects_are_structs_and_only_the_settings_know_more_of_their_fields() -> None:
    found = [each for name in modules(guests=False) for each in frozen_dataclasses(name, tree(name))]
    assert found == ["settings.py: Settings is a value object, which is a msgspec.Struct"]
