"""What the product is made of is listed whole, and an audit that could not look never says that all is well."""

import hashlib
import json
from pathlib import Path

import pytest
from supply import (
    COULD_NOT_LOOK,
    FOUND_SOMETHING,
    LOCK,
    LOCK_OF_TESTS,
    PAGE,
    Package,
    audit,
    bill,
    licences_page,
    main,
    packages,
    verdict,
)

pytestmark = pytest.mark.quick
TWO = [Package("Tornado", "6.6.1", ()), Package("redis", "8.1.0", ())]


def report(**found: dict[str, object]) -> str:
    return json.dumps({"dependencies": [{"name": name, **each} for name, each in found.items()]})


def test_every_package_of_the_lock_is_in_the_bill_of_materials() -> None:
    for lock in (LOCK, LOCK_OF_TESTS):
        text = lock.read_text("ascii")
        pinned = [line.split("==")[0] for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        listed = bill(lock)["components"]
        assert [each["name"] for each in listed] == pinned
        assert sum(len(each["externalReferences"]) for each in listed) == text.count("--hash=sha256:")
    assert {"tornado", "redis", "aiomysql", "pycryptodome"} <= {each.name for each in packages()}


def test_the_bill_says_what_it_is_and_is_the_same_each_time() -> None:
    one = bill()
    assert (one["bomFormat"], one["specVersion"]) == ("CycloneDX", "1.5")
    assert json.dumps(one) == json.dumps(bill())
    assert all(each["purl"].startswith("pkg:pypi/") for each in one["components"])


def test_the_bill_of_the_single_file_has_its_checksum_and_what_was_built_into_it(tmp_path: Path) -> None:
    file = tmp_path / "menshen"
    file.write_bytes(b"menshen")
    made = bill(binary=file)
    assert made["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(b"menshen").hexdigest()
    assert {"cpython", "openssl", "sqlite", "glibc", "tornado"} <= {each["name"] for each in made["components"]}
    assert all(each["version"] for each in made["components"])


def test_the_page_of_licences_is_the_one_made_from_what_is_installed() -> None:
    made = licences_page()
    assert "not stated" not in made
    assert PAGE.read_text("utf-8") == made


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (report(tornado={"vulns": []}, redis={"vulns": []}), 0),
        (report(tornado={"vulns": []}), COULD_NOT_LOOK),
        (report(tornado={"vulns": []}, redis={"skip_reason": "not found"}), COULD_NOT_LOOK),
        (report(tornado={"vulns": [{"id": "X-1"}]}, redis={"skip_reason": "?"}), FOUND_SOMETHING),
        ("", COULD_NOT_LOOK),
        ("No known vulnerabilities found", COULD_NOT_LOOK),
        ('{"dependencies": null}', COULD_NOT_LOOK),
        ("[]", COULD_NOT_LOOK),
    ],
)
def test_only_a_look_at_every_package_that_finds_nothing_is_good(said: str, status: int) -> None:
    assert verdict(said, TWO)[0] == status


def test_an_audit_that_could_not_look_says_so_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(["/nothing/here"], LOCK)[0] == COULD_NOT_LOOK
    assert main(["audit", "--with", "false"]) == COULD_NOT_LOOK
    assert capsys.readouterr().out.count("could not look") == 2
    assert main(["audit", "--offline"]) == 0
    assert capsys.readouterr().out == "did not look, as asked\n"
