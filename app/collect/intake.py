"""Prompts, completions and pairs coming in: from imports, from policies, from the demonstration.

One writer a project at a time, in chunks, so that a stream of any length takes constant memory and
what is there already is found before it is written twice.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from json import dumps
from typing import Any, cast

from sqlalchemy import Table, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.collect.incoming import CompletionIn, Message, PromptIn
from app.collect.pairing import comes_first, couples_of, partners_for_one
from app.markdown import RENDERER, render_markdown
from app.tables.collect import Completion, Pair, Prompt
from app.tables.projects import Project

__all__ = ["CompletionIn", "Intake", "Message", "PromptIn", "add_prompts"]

CHUNK = 500
REMEMBERED_TEXT = 2_000


@dataclass
class Intake:
    """What came in. Prompts and completions that were there already are not counted as new."""

    n_prompts: int = 0
    n_new_prompts: int = 0
    n_completions: int = 0
    n_pairs: int = 0


def add_prompts(
    session: Session,
    project: Project,
    prompts: Iterable[PromptIn],
    *,
    import_id: uuid.UUID | None = None,
    policy_run_id: uuid.UUID | None = None,
    priority: float = 0.0,
) -> Intake:
    """Write `prompts` with their completions and the pairs to be compared; flushes, never commits.

    A prompt that the project knows (the same messages) gets the new completions; the same text
    from the same source or policy run is written once. Without `pairs`, the completions of one
    line meet each other (see `couples_of`), and one that comes alone meets up to three that are
    there. Two completions with one text never meet. Writers of a project wait for each other.
    """
    # Held to the end of the transaction: two imports with the same prompts in another order would
    # deadlock on the unique index, and would not see each other's completions.
    session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:project, 21))"),
        {"project": str(project.id)},
    )
    writer = _Writer(session, project, import_id, policy_run_id, priority)
    for chunk in _in_chunks(prompts):
        writer.write(chunk)
    return writer.intake


def prompt_hash(messages: Iterable[Message]) -> bytes:
    """SHA-256 of the conversation: what makes two prompts one."""
    turns = [[message.role, message.content] for message in messages]
    return sha256(dumps(turns, ensure_ascii=False, separators=(",", ":")).encode()).digest()


def text_hash(words: str) -> bytes:
    return sha256(words.encode()).digest()


def _in_chunks(prompts: Iterable[PromptIn]) -> Iterator[list[PromptIn]]:
    """At most CHUNK prompts, and not many more than CHUNK completions or 4 MB of text, at once."""
    chunk: list[PromptIn] = []
    weight = 0
    for prompt in prompts:
        chunk.append(prompt)
        weight += 1 + len(prompt.completions)
        weight += sum(len(completion.text) for completion in prompt.completions) // 8_000
        if weight >= CHUNK * 2:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk


@lru_cache(maxsize=4096)
def _render_short(words: str) -> str:
    return render_markdown(words)


def _render(words: str) -> str:
    # System prompts and short answers come again and again; long texts are not worth the memory.
    return _render_short(words) if len(words) <= REMEMBERED_TEXT else render_markdown(words)


@dataclass(frozen=True)
class _Known:
    id: uuid.UUID
    hash: bytes


# What makes a completion of a prompt the same as one that is there: its text and who wrote it.
_Author = tuple[bytes, str]


@dataclass
class _Writer:
    session: Session
    project: Project
    import_id: uuid.UUID | None
    policy_run_id: uuid.UUID | None
    priority: float
    intake: Intake = field(default_factory=Intake)

    def write(self, prompts: list[PromptIn]) -> None:
        hashed = [(prompt_hash(prompt.messages), prompt) for prompt in prompts]
        ids, is_new = self._prompts(hashed)
        there = self._completions_there([ids[key] for key in ids if key not in is_new])
        rows: list[dict[str, Any]] = []
        pairs: dict[tuple[uuid.UUID, uuid.UUID], dict[str, Any]] = {}
        for key, prompt in hashed:
            mine = there.setdefault(ids[key], {})
            before = list(mine.values())
            members = [self._member(ids[key], one, mine, rows) for one in prompt.completions]
            for one, other in _couples(prompt, members, before, key):
                if one.hash != other.hash:
                    self._add_pair(pairs, ids[key], key, (one, other), prompt.id)
        self._insert(Completion, rows)
        self.intake.n_prompts += len(prompts)
        self.intake.n_completions += len(rows)
        self.intake.n_pairs += self._insert(Pair, list(pairs.values()))

    def _prompts(
        self, hashed: list[tuple[bytes, PromptIn]]
    ) -> tuple[dict[bytes, uuid.UUID], set[bytes]]:
        """The id of each prompt by its hash, and the hashes of those that are new."""
        known = select(Prompt.content_hash, Prompt.id).where(
            Prompt.project_id == self.project.id,
            Prompt.content_hash.in_({key for key, _ in hashed}),
        )
        ids = {row.content_hash: row.id for row in self.session.execute(known)}
        rows = {}
        for key, prompt in hashed:
            if key not in ids:
                rows[key] = self._prompt_row(key, prompt)
                ids[key] = rows[key]["id"]
        self.intake.n_new_prompts += self._insert(Prompt, list(rows.values()))
        return ids, set(rows)

    def _prompt_row(self, key: bytes, prompt: PromptIn) -> dict[str, Any]:
        return {
            "id": uuid.uuid4(),
            "project_id": self.project.id,
            "import_id": self.import_id,
            "messages": [message.model_dump() for message in prompt.messages],
            "html": [_render(message.content) for message in prompt.messages],
            "renderer": RENDERER,
            "content_hash": key,
            "group_key": prompt.group,
            "metadata": {**prompt.metadata, **({"id": prompt.id} if prompt.id else {})},
        }

    def _completions_there(
        self, prompt_ids: list[uuid.UUID]
    ) -> dict[uuid.UUID, dict[_Author, _Known]]:
        there: dict[uuid.UUID, dict[_Author, _Known]] = {}
        if not prompt_ids:
            return there
        rows = self.session.execute(
            select(
                Completion.id,
                Completion.prompt_id,
                Completion.content_hash,
                Completion.source,
                Completion.policy_run_id,
            )
            .where(Completion.prompt_id.in_(prompt_ids))
            .order_by(Completion.content_hash, Completion.id)
        )
        for row in rows:
            # Another author's copy of a text may be met, but is not taken for one's own.
            author = "" if row.policy_run_id == self.policy_run_id else f"\0{row.policy_run_id}"
            known = _Known(row.id, row.content_hash)
            there.setdefault(row.prompt_id, {})[row.content_hash, author + row.source] = known
        return there

    def _member(
        self,
        prompt_id: uuid.UUID,
        completion: CompletionIn,
        mine: dict[_Author, _Known],
        rows: list[dict[str, Any]],
    ) -> _Known:
        """The completion's id and hash; a row is added where it is new."""
        key = text_hash(completion.text)
        known = mine.get((key, completion.source))
        if known is None:
            known = mine[key, completion.source] = _Known(uuid.uuid4(), key)
            rows.append(
                {
                    "id": known.id,
                    "project_id": self.project.id,
                    "prompt_id": prompt_id,
                    "text": completion.text,
                    "html": _render(completion.text),
                    "renderer": RENDERER,
                    "content_hash": key,
                    "source": completion.source,
                    "policy_run_id": self.policy_run_id,
                }
            )
        return known

    def _add_pair(
        self,
        pairs: dict[tuple[uuid.UUID, uuid.UUID], dict[str, Any]],
        prompt_id: uuid.UUID,
        key: bytes,
        couple: tuple[_Known, _Known],
        external_id: str,
    ) -> None:
        one, other = couple
        a, b = (one, other) if comes_first(key, one.hash, other.hash) else (other, one)
        pairs.setdefault(
            (a.id, b.id),
            {
                "id": uuid.uuid4(),
                "project_id": self.project.id,
                "prompt_id": prompt_id,
                "completion_a_id": a.id,
                "completion_b_id": b.id,
                "overlap": self.project.overlap,
                "n_taken": 0,
                "priority": self.priority,
                "is_gold": False,
                "is_open": True,
                "external_id": external_id,
            },
        )

    def _insert(self, table: type[Prompt | Completion | Pair], rows: list[dict[str, Any]]) -> int:
        """Insert what is not there; returns how many rows were written."""
        if not rows:
            return 0
        statement = insert(cast(Table, table.__table__)).on_conflict_do_nothing()
        done = self.session.connection().execute(
            statement, rows, execution_options={"preserve_rowcount": True}
        )
        return done.rowcount


def _couples(
    prompt: PromptIn, members: list[_Known], before: list[_Known], key: bytes
) -> list[tuple[_Known, _Known]]:
    if prompt.pairs is not None:
        return [(members[one], members[other]) for one, other in prompt.pairs]
    if len(members) == 1:
        others = [known for known in before if known.id != members[0].id]
        chosen = partners_for_one(len(others), key + members[0].hash)
        return [(members[0], others[index]) for index in chosen]
    return [(members[one], members[other]) for one, other in couples_of(len(members), key)]
