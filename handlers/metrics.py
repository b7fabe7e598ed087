"""GET /metrics, for Prometheus: on the public listener with a service key, on the operators' own without."""

import memory
from actions import Backend
from handlers.base import Traffic
from handlers.meter import family
from handlers.partner import PartnerHandler
from settings import VERSION


class Metrics(PartnerHandler):
    """GET /metrics"""

    scope = "metrics"

    async def get(self) -> None:
        """All workers' counts, and how the stores stand as this one sees them."""
        if not getattr(self.request, "inside", False):
            await self.key()
        look_at_own(self.backend, self.traffic)
        lines = [*self.traffic.meter.lines(), *_stores(self.backend), *await self._sessions()]
        build = [({"version": VERSION, "parser": self.backend.settings.parser}, 1)]
        lines += family("menshen_build_info", "gauge", "Which program this is.", build)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish("\n".join(lines) + "\n")

    async def _sessions(self) -> list[str]:
        """Left out for a mini program of which nobody knows: a gap in a graph is no zero."""
        backend, counts = self.backend, []
        for app in backend.settings.apps:
            n = await backend.active_sessions.count([app.appid], backend.now())
            if n is not None:
                counts.append(({"appid": app.appid}, n))
        return list(family("menshen_sessions", "gauge", "Sessions that hold.", counts))


def _stores(backend: Backend) -> list[str]:
    stores = [({"store": str(each.name)}, int(each.answers)) for each in backend.health.stores]
    opened = [
        ({"appid": app.appid}, int(backend.wechat.state(app.appid).breaker_open)) for app in backend.settings.apps
    ]
    return [
        *family("menshen_store_up", "gauge", "Whether the store answers.", stores),
        *family("menshen_wechat_breaker_open", "gauge", "Whether no logins are sent to WeChat now.", opened),
    ]


def look_at_own(backend: Backend, traffic: Traffic) -> None:
    """Writes down what this worker knows of itself, so that whichever is asked can tell for all."""
    meter = traffic.meter
    meter.stands_at("rss_bytes", memory.of_this_process())
    meter.stands_at("wechat_waiting", backend.wechat.waiting)
    meter.stands_at("notes_lost", backend.logins.lost + backend.refused_logins.lost)
    meter.stands_at("audit_write_failures", backend.audit.failures)
    meter.stands_at("clock_jump_seconds", backend.retention.jumped_seconds)
    meter.stands_at("under_way", traffic.under_way)
