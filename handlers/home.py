"""The address by itself: one line on what lives here."""

from handlers.base import Handler


class Home(Handler):
    """GET / without --dev"""

    def get(self) -> None:
        """Says in one line what this is."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.finish("Menshen: login and sessions for WeChat mini programs. The API is at /api.\n")

    head = get
