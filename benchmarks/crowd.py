"""Simulated annotators over plain sockets: what a browser sends, at a fraction of the cost.

Each keeps one connection, gets the page and the pair after it once, and then answers as the page
does: it turns to the pair that it has, posts, and is served the one after that, as fast as it goes.
They share the machine with the server, so they parse no more than they need.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

ASSIGNMENT = re.compile(rb'data-assignment="([0-9a-f-]{36})"')
KEY = re.compile(rb'name="idempotency_key" value="([^"]+)"')
CURRENT = re.compile(rb"prefloop-current: ([0-9a-f-]{36})", re.IGNORECASE)
KEPT = re.compile(rb"prefloop-kept: ([0-9a-f-]{36})", re.IGNORECASE)
FLAG = re.compile(rb'name="(flag\.[0-9a-f-]{36}(?:\.left|\.right)?)" value="1"')
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
BROKEN = (OSError, EOFError)


@dataclass(frozen=True)
class Badge:
    """What one annotator's browser holds: the cookie and the token of its forms."""

    cookie: str
    csrf: str


@dataclass(frozen=True)
class Desk:
    """Where they work: the server's port and the path of the compare page."""

    port: int
    path: str


@dataclass
class Tally:
    """What the annotators saw. `acknowledged` are the ids of assignments whose answer was taken."""

    acknowledged: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    n_refused: int = 0
    n_broken: int = 0


class Bell:
    """Rings once all `n` people have their first two pairs: a page is opened once in hundreds of
    answers, and the time of a run is for these. `on_ring` is called then."""

    def __init__(self, n: int, seconds: float, on_ring: Callable[[], None]) -> None:
        self._n, self._seconds, self._on_ring = n, seconds, on_ring
        self._rings = asyncio.Event()
        self.until = math.inf

    async def wait(self) -> None:
        self._n -= 1
        if self._n == 0:
            self._on_ring()
            self.until = time.perf_counter() + self._seconds
            self._rings.set()
        await self._rings.wait()


async def answer_for(
    port: int,
    path: str,
    badges: list[Badge],
    seconds: float,
    *,
    is_patient: bool = False,
    tally: Tally | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> Tally:
    """Let all of them answer for `seconds`, from when all have opened their pages (`on_start`).

    Patient ones come back after a broken connection.
    """
    tally = Tally() if tally is None else tally
    bell = Bell(len(badges), seconds, on_start)
    people = (_one(Desk(port, path), badge, bell, tally, is_patient) for badge in badges)
    await asyncio.gather(*people)
    return tally


async def _one(desk: Desk, badge: Badge, bell: Bell, tally: Tally, is_patient: bool) -> None:
    while time.perf_counter() < bell.until:
        try:
            await _sit_down(desk, badge, bell, tally)
            return
        except BROKEN:
            tally.n_broken += 1
            if not is_patient:
                raise
            await asyncio.sleep(0.1)


async def _sit_down(desk: Desk, badge: Badge, bell: Bell, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port, limit=2**20)
    try:
        page = ahead = b""
        while time.perf_counter() < bell.until:
            if not page:
                _, page = await _ask(reader, writer, _request("GET", desk.path, badge))
            found, key = ASSIGNMENT.search(page), KEY.search(page)
            if found is None or key is None:
                return
            flags = [name.decode() for name in FLAG.findall(page)]
            if not ahead:
                form = urlencode({"csrf_token": badge.csrf, "assignment_id": found[1]}).encode()
                _, ahead = await _ask(
                    reader, writer, _request("POST", f"{desk.path}/prefetches", badge, form)
                )
            await bell.wait()
            shown = ASSIGNMENT.search(ahead)
            form = _form(found[1], key[1], badge, flags, shown[1] if shown else b"")
            started = time.perf_counter()
            head, body = await _ask(
                reader, writer, _request("POST", f"{desk.path}/answers", badge, form)
            )
            if not head.startswith(b"HTTP/1.1 200"):
                tally.n_refused += 1
                page = ahead = b""
                continue
            tally.seconds.append(time.perf_counter() - started)
            if kept := KEPT.search(head):
                tally.acknowledged.append(kept[1].decode())
            current = CURRENT.search(head)
            has_turned = shown and current and current[1] == shown[1]
            page, ahead = (ahead, body) if has_turned else (body, b"")
    finally:
        writer.close()


def _form(assignment: bytes, key: bytes, badge: Badge, flags: list[str], shown: bytes) -> bytes:
    """What the page posts: a rating, now and then a flag, active time by control, and the pair that
    it has turned to."""
    answered = {name: secrets.choice("01") for name in flags if secrets.randbelow(4) == 0}
    fields = {
        **answered,
        "times": "prompt:0.01,left:0.01,right:0.01,rating:0.01",
        "csrf_token": badge.csrf,
        "assignment_id": assignment,
        "idempotency_key": key,
        "seconds": "0.04",
        "rating": secrets.choice("12345678"),
        "comment": "",
        **({"shown": shown, "shown_for": "0.001"} if shown else {}),
    }
    return urlencode(fields).encode()


def _request(method: str, path: str, badge: Badge, body: bytes = b"") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"cookie: {badge.cookie}",
        "sec-fetch-site: same-origin",
        "hx-request: true" if method == "POST" else "accept: text/html",
    ]
    if body:
        lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[bytes, bytes]:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    return head, await reader.readexactly(int(length[1]) if length else 0)
