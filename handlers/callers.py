"""Who is calling, as far as a request tells: address, platform, mini program version. None of it proves anything."""

import logging
import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tornado.httputil import HTTPServerRequest

from actions import Caller

log = logging.getLogger("menshen.door")

Network = IPv4Network | IPv6Network
_MOST_HOPS = 20
# The Referer of every wx.request is fixed by WeChat: https://servicewechat.com/APPID/VERSION/page-frame.html
_REFERER = re.compile(r"https://servicewechat\.com/[A-Za-z0-9]{1,32}/([A-Za-z0-9.]{1,32})/page-frame\.html", re.ASCII)
# What a phone calls itself is printable ASCII or nothing: it comes from outside and goes into lists.
_MOST_READ = 1_000
_WECHAT = re.compile(r"\bMicroMessenger/(\d{1,4}(?:\.\d{1,6}){0,4})", re.ASCII)
_ANDROID = re.compile(r"\(Linux;(?: U;)? Android (\d[\d.]{0,9});([^();]{1,64})", re.ASCII)
_IOS = re.compile(r"\((iPhone|iPad|iPod)[^()]*? OS (\d{1,3}(?:_\d{1,3}){0,2})", re.ASCII)
_HARMONY = re.compile(r"\((?:Phone|Tablet); OpenHarmony (\d[\d.]{0,9})", re.ASCII)
_MISLED = (
    "A proxy on this machine forwards requests, but TRUSTED_PROXIES is empty: every phone counts as %s, "
    "and all of them share one limit. Set TRUSTED_PROXIES=127.0.0.1/32,::1/128 if that proxy is yours."
)
_MOST_DEVICE = 64
_MOST_WECHAT = 16
_PLATFORMS = (
    ("wechatdevtools", "devtools"),
    ("ohos", "harmony"),
    ("openharmony", "harmony"),
    ("android", "android"),
    ("iphone", "ios"),
    ("ipad", "ios"),
    ("windows", "windows"),
    ("macintosh", "mac"),
)


class Addresses:
    """Finds the client's address; only proxies that the settings name are believed about it."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self.misled = False  # a proxy on this machine speaks for phones, and TRUSTED_PROXIES does not name it
        self.on_misled: Callable[[], None] = lambda: None  # called for each request of such a proxy

    def settle(self, request: HTTPServerRequest) -> None:
        """Puts the client's address and the outer protocol into the request, where a trusted proxy told them."""
        forwarded = request.headers.get_list("X-Forwarded-For")
        peer = _address(request.remote_ip) if forwarded else None
        if peer is None:
            return
        if self._trusts(peer):
            request.remote_ip = str(self._client(peer, ",".join(forwarded)))
            request.protocol = "https" if request.headers.get("X-Forwarded-Proto") == "https" else request.protocol
        elif peer.is_loopback and not self._trusted:
            self.on_misled()
            if not self.misled:
                self.misled = True
                log.warning(_MISLED, peer)

    def _client(self, peer: IPv4Address | IPv6Address, forwarded: str) -> IPv4Address | IPv6Address:
        """The right-most address that is no proxy of ours; the peer itself when the list makes no sense."""
        hops = forwarded.split(",")
        if len(hops) > _MOST_HOPS:
            return peer
        for hop in reversed(hops):
            address = _address(hop.strip())
            if address is None:
                return peer
            if not self._trusts(address):
                return address
        return peer

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else (address.ipv4_mapped or address)
    return address


def address_of(request: HTTPServerRequest) -> str:
    """Where a request comes from whose address is settled."""
    return request.remote_ip or "unknown"


def caller_of(request: HTTPServerRequest) -> Caller:
    """The caller of a request whose address is settled."""
    version, environment = _version(request.headers.get("Referer", ""))
    agent = request.headers.get("User-Agent", "")[:_MOST_READ]
    return Caller(address_of(request), _platform(agent), version, environment, _device(agent), _wechat(agent))


def _device(user_agent: str) -> str | None:
    """The model and its system, as far as the phone says: `Pixel 7, Android 14`, `iPhone, iOS 17.4`."""
    if found := _ANDROID.search(user_agent):
        model = found[2].partition(" Build/")[0].strip()
        said = f"{model}, Android {found[1]}" if model else f"Android {found[1]}"
    elif found := _IOS.search(user_agent):
        said = f"{found[1]}, iOS {found[2].replace('_', '.')}"
    elif found := _HARMONY.search(user_agent):
        said = f"OpenHarmony {found[1]}"
    else:
        return None
    return said[:_MOST_DEVICE] if said.isascii() and said.isprintable() else None


def _wechat(user_agent: str) -> str | None:
    """The version of WeChat."""
    found = _WECHAT.search(user_agent)
    return found[1][:_MOST_WECHAT] if found else None


def _platform(user_agent: str) -> str | None:
    lower = user_agent.lower()
    return next((platform for sign, platform in _PLATFORMS if sign in lower), None)


def _version(referer: str) -> tuple[str | None, str | None]:
    """Version and environment: WeChat writes 0 for develop and trial alike, `devtools` in its tools, else a number."""
    found = _REFERER.fullmatch(referer)
    if found is None:
        return None, None
    if found[1] == "0":
        return None, "develop"
    return (None, "devtools") if found[1] == "devtools" else (found[1], "release")
