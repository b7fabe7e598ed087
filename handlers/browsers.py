"""What an operator's browser is called by people: `Chrome · Windows`, from what it calls itself."""

# The order counts: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
_BROWSERS = (
    ("MicroMessenger/", "WeChat"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def called(user_agent: str) -> str:
    """Browser and system, or the beginning of what it says where neither is known. Proves nothing: anybody may lie."""
    found = (next((name for sign, name in table if sign in user_agent), None) for table in (_BROWSERS, _SYSTEMS))
    return " · ".join(name for name in found if name) or user_agent[:60]
