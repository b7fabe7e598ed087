"""The files for Prometheus and Grafana ask only for what `/metrics` tells, by labels that it has."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from phone import Network
from product import ROOT, Product
from shell import done

DEPLOY = ROOT / "deploy"
RULES = (DEPLOY / "prometheus" / "menshen.rules.yml").read_text("utf-8")
PANELS: list[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "menshen.json").read_text("utf-8"))["panels"]
METRIC = re.compile(r"\bmenshen_[a-z_]+\b")
ASKED = re.compile(r"(menshen_[a-z_]+)\{([^}]*)\}")
OF_PROMETHEUS = {"instance", "job", "le"}


def expressions() -> Iterator[str]:
    """Everything that Prometheus is asked: by the rules, and by the panels of the dashboard."""
    yield from map("".join, re.findall(r"        expr: (?:\|\n((?:          .*\n)+)|([^|\n]+))", RULES))
    yield from (target["expr"] for panel in PANELS for target in panel["targets"])


async def told(server: Product, network: Network, key: str) -> dict[str, set[str]]:
    """Every metric that there is, with the names of its labels."""
    answer = await network.ask("GET", f"{server.base}/metrics", headers={"Authorization": f"Bearer {key}"})
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"(?m)^(menshen_\w+)(?:\{(.*)\})? ", answer.body.decode()):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.mark.gen_test
async def test_every_metric_and_label_that_is_asked_for_exists(embedded: Product, network: Network) -> None:
    key = await done(embedded, "key", "add", "monitoring", "--scope", "metrics")
    for _ in range(300):  # the stores are looked at every few seconds, and told of from then on
        known = await told(embedded, network, key)
        if "menshen_store_up" in known:
            break
        await asyncio.sleep(0.1)
    asked = list(expressions())
    assert len(asked) > 20
    assert {name for each in asked for name in METRIC.findall(each)} <= set(known)
    for each in asked:
        for name, labels in ASKED.findall(each):
            assert set(re.findall(r"(\w+)\s*[=!]", labels)) - OF_PROMETHEUS <= known[name], each


@pytest.mark.quick
def test_every_alarm_says_what_happened_and_what_to_do() -> None:
    alarms = re.split(r"(?m)^      - alert: ", RULES)[1:]
    assert len(alarms) >= 10
    for each in alarms:
        assert re.match(r"Menshen[A-Z]\w+\n", each), each
        assert re.search(r"severity: (page|look)\b", each), each
        assert re.search(r'summary: ".+"', each), each
        assert re.search(r'remedy: ".+"', each), each


@pytest.mark.quick
def test_the_panels_of_the_dashboard_lie_side_by_side() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) >= 10
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
