"""Writes docs/settings.md, for `make docs`: the rules, an example, and a line for every setting."""

import sys

from settings import KNOBS

_BEFORE_THE_TABLE = """# Settings

<!-- Made by `make docs` from settings.py and tests/settings_page.py; change it there. -->

Every setting can be given in three places; the first one that has it wins:

1. a command line option: `--session-seconds 12h`
2. an environment variable: `MENSHEN_SESSION_SECONDS=12h`
3. a TOML file, under its lower-case name: `session_seconds = "12h"`

Otherwise its default holds. The file is the one named by `--config FILE`, which must exist, or `menshen.toml` in
DATA_DIR if there is one. `server.py settings` shows every setting with its value and where it came from.

A wrong value stops the start. Everything that is wrong is reported at once, one line each: the setting, what it got and
what it takes. A key that the file should not have stops the start too; an unknown `MENSHEN_…` variable is one warning.

Secrets are never taken from the command line, where every user of the machine can read them, and never shown: they
appear as `***`. In the file, APPSECRET, PUSH_TOKEN, PUSH_KEY, those of `[[apps]]`, DATABASE and SESSIONS may stand
elsewhere: `{ env = "NAME" }` takes an environment variable, `{ file = "path" }` a file that only its owner or group may
read (a relative path starts at the TOML file's directory), `{ credential = "NAME" }` a credential that systemd passes.
Special characters in a URL's user or password are percent-encoded: `p@ss` is written `p%40ss`.

Durations are seconds, or a number with `s`, `m`, `h` or `d`. A list is written with commas, in the file also as a TOML
list. An empty value means "not set" where a setting may be unset.

## An example `menshen.toml`

```toml
address = "127.0.0.1"
port = 8000
data_dir = "/var/lib/menshen"
database = { file = "database.url" }  # the file holds mysql://menshen:PASSWORD@127.0.0.1:3306/menshen
sessions = "redis://127.0.0.1:6379/0"
session_seconds = "7d"
session_sliding = true
session_max_seconds = "30d"
trusted_proxies = ["127.0.0.1/32", "10.0.0.0/8"]
public_url = "https://login.example.com"
allowed_hosts = ["login.example.com"]
log_format = "json"

[[apps]]
appid = "wx1111111111111111"
secret = { env = "SHOP_APPSECRET" }
name = "The shop"

[[apps]]
appid = "wx2222222222222222"
secret = { file = "clinic.appsecret" }
name = "The clinic"
push_token = { env = "CLINIC_PUSH_TOKEN" }
push_key = { env = "CLINIC_PUSH_KEY" }
```

`[[apps]]` lists mini programs and stands only in the file; APPID and APPSECRET name one more, which comes first.

## All settings

| name | default | what it takes | meaning |
|---|---|---|---|
"""


def settings_page() -> str:
    """Give docs/settings.md: the rules, an example, and a line for every knob."""
    return _BEFORE_THE_TABLE + "".join(
        f"| `{each.name}` | {f'`{each.default}`' if each.default else ''} | {each.kind.takes} | {each.sentence} |\n"
        for each in KNOBS.values()
    )


if __name__ == "__main__":
    sys.stdout.write(settings_page())
