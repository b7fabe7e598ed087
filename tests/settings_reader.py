"""Reads settings as the server does; a test module takes it with ``pytest_plugins = ["settings_reader"]``."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import settings
from settings import Loaded


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Loaded]:
    """Reads settings as the server does: a TOML text (in a file only its owner may read), an environment, options."""

    def reading(toml: str = "", environ: Mapping[str, str] | None = None, **options: str) -> Loaded:
        file = tmp_path / "given.toml"
        file.touch(mode=0o600)
        file.write_text(toml, encoding="utf-8")
        return settings.load(options, environ or {}, file)

    return reading
