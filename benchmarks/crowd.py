"""Simulated annotators over plain sockets: what a browser sends, at a fraction of the cost.

Each keeps one connection, gets the page once, then posts answers whose response carries the next
pair, as fast as it is served. They share the machine with the server, so they parse no more than
they need.
"""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

ASSIGNMENT = re.compile(rb'data-assignment="([0-9a-f-]{36})"')
KEY = re.compile(rb'name="idempotency_key" value="([^"]+)"')
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


async def answer_for(
    port: int,
    path: str,
    badges: list[Badge],
    seconds: float,
    *,
    is_patient: bool = False,
    tally: Tally | None = None,
) -> Tally:
    """Let all of them answer for `seconds`. Patient ones come back after a broken connection."""
    tally = Tally() if tally is None else tally
    until = time.perf_counter() + seconds
    people = (_one(Desk(port, path), badge, until, tally, is_patient) for badge in badges)
    await asyncio.gather(*people)
    return tally


async def _one(desk: Desk, badge: Badge, until: float, tally: Tally, is_patient: bool) -> None:
    while time.perf_counter() < until:
        try:
            await _sit_down(desk, badge, until, tally)
            return
        except BROKEN:
            tally.n_broken += 1
            if not is_patient:
                raise
            await asyncio.sleep(0.1)


async def _sit_down(desk: Desk, badge: Badge, until: float, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port, limit=2**20)
    try:
        _, page = await _ask(reader, writer, _request("GET", desk.path, badge))
        flags = [name.decode() for name in FLAG.findall(page)]
        while time.perf_counter() < until:
            found, key = ASSIGNMENT.search(page), KEY.search(page)
            if found is None or key is None:
                return
            form = _form(found[1].decode(), key[1].decode(), badge, flags)
            started = time.perf_counter()
            head, page = await _ask(
                reader, writer, _request("POST", f"{desk.path}/answers", badge, form)
            )
            if not head.startswith(b"HTTP/1.1 200"):
                tally.n_refused += 1
                _, page = await _ask(reader, writer, _request("GET", desk.path, badge))
                continue
            tally.seconds.append(time.perf_counter() - started)
            if kept := KEPT.search(head):
                tally.acknowledged.append(kept[1].decode())
    finally:
        writer.close()


def _form(assignment: str, key: str, badge: Badge, flags: list[str]) -> bytes:
    """What the page posts: a rating, now and then a flag, and active time by control."""
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
