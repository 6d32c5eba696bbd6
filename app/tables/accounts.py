"""People, how they sign in, what they may do, and the append-only trail of what they did."""

import uuid
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from app.tables.base import Base, CreatedAt, Id, text_enum, utc_now


def hash_token(token: str) -> bytes:
    """What the columns `token_hash` keep of a session, a link or an API token: 32 bytes.

    These secrets carry 256 random bits, so a plain hash is enough (OWASP ASVS 5.0, 7.2 and 11.4).
    """
    return sha256(token.encode()).digest()


class Role(StrEnum):
    ANNOTATOR = "annotator"
    ADMIN = "admin"
    RESEARCHER = "researcher"


class LinkPurpose(StrEnum):
    SET_UP = "set_up"
    SIGN_IN = "sign_in"
    INVITATION = "invitation"


class Person(Base):
    """Someone who can sign in. `is_owner` may make projects and sees all of them."""

    __tablename__ = "person"
    __table_args__ = (Index("uq_person_email", func.lower(text("email")), unique=True),)

    id: Mapped[Id]
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    is_owner: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_active: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    # In which they can judge texts: ISO 639 codes.
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    # Simulated annotators stand behind the same services; they can never sign in.
    is_simulated: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    created_at: Mapped[CreatedAt]


class LoginSession(Base):
    """A server-side session. The cookie holds the token; the table holds only its SHA-256."""

    __tablename__ = "login_session"

    id: Mapped[Id]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    person_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), index=True
    )
    csrf_token: Mapped[str]
    user_agent: Mapped[str] = mapped_column(default="", server_default="")
    address: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]


class OneTimeLink(Base):
    """A link that signs someone in once: the first admin's, a lost password's, an invitation's."""

    __tablename__ = "one_time_link"

    id: Mapped[Id]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    purpose: Mapped[LinkPurpose] = mapped_column(text_enum(LinkPurpose))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignInAttempt(Base):
    """Failed attempts, counted per account and per address across all server processes."""

    __tablename__ = "sign_in_attempt"
    __table_args__ = (
        Index("ix_sign_in_attempt_email_at", "email", "at"),
        Index("ix_sign_in_attempt_address_at", "address", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    email: Mapped[str]
    address: Mapped[str]
    at: Mapped[CreatedAt]


class Membership(Base):
    """One role of one person in one project; a person may hold several."""

    __tablename__ = "membership"
    __table_args__ = (UniqueConstraint("project_id", "person_id", "role"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[Role] = mapped_column(text_enum(Role))
    is_paused: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # Who paused them, themself or an admin, since when, and until when if they said so.
    paused_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    paused_at: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    @property
    def rests(self) -> bool:
        """Whether the pause holds now; one until a date ends by itself."""
        return self.is_paused and (self.paused_until is None or self.paused_until > utc_now())


class ApiToken(Base):
    """A token for scripts: shown once, stored as a SHA-256, with an expiry and a last use."""

    __tablename__ = "api_token"

    id: Mapped[Id]
    person_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    prefix: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEvent(Base):
    """Who did what to what, when and from where. A trigger refuses UPDATE and DELETE."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("ix_audit_event_project_id_id", "project_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[CreatedAt]
    # No foreign keys: the trail outlives what it speaks of.
    actor_id: Mapped[uuid.UUID | None]
    project_id: Mapped[uuid.UUID | None]
    action: Mapped[str]
    subject: Mapped[str] = mapped_column(default="", server_default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    address: Mapped[str] = mapped_column(default="", server_default="")
