"""Who may ask, and what browsers are told to keep others from asking in his name."""

import hashlib
import hmac
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address that the token came with stays here
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """host: that the server listens on; token: empty where none is asked for."""

    def __init__(self, host: str, token: str) -> None:
        self._loopback, self._token = host in LOOPBACK, token
        self._pass = hmac.new(token.encode(), b"irdim live page", hashlib.sha256).hexdigest()  # not the token itself

    def knows_host(self, header: str) -> bool:
        """On loopback only its own names are answered to: else a web page whose name was bound to 127.0.0.1 (DNS rebinding) could read along."""
        if not self._loopback:
            return True
        try:
            return urlsplit(f"//{header}").hostname in LOOPBACK
        except ValueError:
            return False

    def is_token(self, said: str) -> bool:
        return bool(self._token) and hmac.compare_digest(said.encode(), self._token.encode())

    def lets_in(self, headers: Message, port: int) -> bool:
        """Whether a request bears the token, or the cookie that was given for it."""
        if not self._token:
            return True
        kind, _, said = headers.get("Authorization", "").partition(" ")
        if kind == "Bearer" and self.is_token(said):
            return True
        try:
            cookie = SimpleCookie(headers.get("Cookie", "")).get(_name(port))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._pass.encode())

    def cookie(self, port: int) -> str:
        """For a browser that showed the token. It outlives a restart of the daemon, not a change of the token."""
        return f"{_name(port)}={self._pass}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"


def _name(port: int) -> str:
    return f"irdim_live_{port}"  # cookies do not tell ports apart, and there is one daemon a camera
