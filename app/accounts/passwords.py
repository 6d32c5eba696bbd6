"""Passwords: argon2id, a few at a time, and a short list of those that everyone tries first.

Any composition of 8 to 128 characters is taken (NIST SP 800-63B, 3.1.1); what is refused is only
what a guesser starts with. Each hash holds 64 MiB while it runs, so a semaphore bounds how many
run at once: a crowd at the door waits instead of exhausting the machine.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import Invalid, TooMany

SHORTEST, LONGEST = 8, 128
SECONDS_TO_WAIT = 10.0

_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
_room = threading.BoundedSemaphore(2)

# What a guesser types first, among those long enough to pass.
COMMONEST = frozenset(
    " ".join(
        (
            "password password1 password12 password123 passw0rd p@ssword p@ssw0rd passwort",
            "12345678 123456789 1234567890 0123456789 0987654321 87654321 987654321 11111111",
            "00000000 88888888 12341234 11223344 123123123 1q2w3e4r 1qaz2wsx qwertyui",
            "qwertyuiop qwerty12 qwerty123 qwerty1234 qwertz123 asdfghjk asdfghjkl asdfasdf",
            "zxcvbnm1 1q2w3e4r5t q1w2e3r4 abcd1234 abc12345 abcdefgh a1b2c3d4 iloveyou",
            "iloveyou1 sunshine princess football baseball superman trustno1 whatever starwars",
            "computer michelle jennifer welcome1 welcome123 letmein1 letmein123 changeme",
            "changeme1 changeme123 admin123 admin1234 administrator adminadmin rootroot",
            "test1234 testtest secret123 internet dragon123 monkey123 prefloop prefloop1",
            "prefloop123",
        )
    ).split()
)


def check_password(password: str, *, email: str = "") -> None:
    """Raise Invalid, with the field's name, where `password` would be guessed first."""
    if len(password) < SHORTEST:
        raise Invalid(f"Use at least {SHORTEST} characters.", field="password")
    if len(password) > LONGEST:
        raise Invalid(f"Use at most {LONGEST} characters.", field="password")
    plain = password.casefold()
    if plain in COMMONEST or len(set(plain)) == 1:
        raise Invalid(
            "That is one of the first passwords that anyone would try. Choose another.",
            field="password",
        )
    if email and plain == email.casefold():
        raise Invalid("Choose a password that is not your e-mail address.", field="password")


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _room.acquire(timeout=SECONDS_TO_WAIT):
        raise TooMany("Many people are signing in at this moment. Try again in a few seconds.")
    try:
        yield
    finally:
        _room.release()


def hash_password(password: str) -> str:
    with _one_of_few():
        return _hasher.hash(password)


@lru_cache(maxsize=1)
def _nobody() -> str:
    return hash_password("nobody has this password")


def is_password(password_hash: str | None, password: str) -> bool:
    """Whether `password` fits; where there is no hash, the same work is done for nothing."""
    stored = password_hash or _nobody()
    with _one_of_few():
        try:
            _hasher.verify(stored, password[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other costs than today's."""
    return _hasher.check_needs_rehash(password_hash)
