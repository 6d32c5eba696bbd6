"""Security headers on every response, and a nonce for each.

The policy allows no inline script and no eval; htmx runs under a Trusted Types policy of its own
name, and hx-csp strips htmx attributes from any element that does not carry the page's nonce, so
an injected `hx-post` never fires (OWASP ASVS 5.0, 3.4).
"""

import secrets

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import get_settings
from app.web.direct import Express

# As they are sent: one of a page's costs is to write these anew each time.
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


def content_security_policy(nonce: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}' 'strict-dynamic'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "manifest-src 'self'",
            "require-trusted-types-for 'script'",
            "trusted-types htmx",
        )
    )


class SecurityHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                policy = content_security_policy(nonce).encode()
                headers += (*ALWAYS, (b"content-security-policy", policy))
                is_kept = any(name == b"cache-control" for name, _ in headers)
                if not is_kept and not scope["path"].startswith("/static/"):
                    headers.append((b"cache-control", b"no-store"))
                if get_settings().is_https:
                    headers.append((b"strict-transport-security", b"max-age=31536000"))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_with_headers)


class GuardedApp(FastAPI):
    """An application whose every response has the headers: its error page's, and its middlewares'.

    A middleware that is added lies within the handler of unexpected errors; this one around it.
    """

    def build_middleware_stack(self) -> ASGIApp:
        return SecurityHeaders(Express(self, super().build_middleware_stack()))
