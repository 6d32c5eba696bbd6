"""What is left for one person, project by project: pairs, and every other kind of feedback."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.accounts.queries import Pause, pause_of
from app.collect.kinds import PromptKind, open_work
from app.collect.leases import must_read
from app.collect.standing import standing
from app.collect.talk.queries import invitation
from app.projects.queries import Member, n_done
from app.projects.reading import reading_of
from app.projects.remaining import MANY, n_left
from app.tables.accounts import Person, Role
from app.tables.projects import Project

TASKS = {
    PromptKind.RANK: ("prompt to rank", "prompts to rank"),
    PromptKind.RATE: ("prompt to rate", "prompts to rate"),
    PromptKind.DEMONSTRATE: ("answer to write", "answers to write"),
}


@dataclass(frozen=True)
class Task:
    """Another kind of feedback: `left` prompts remain, at most `MANY` + 1."""

    kind: PromptKind
    left: int

    @property
    def words(self) -> str:
        one, several = TASKS[self.kind]
        if self.left > MANY:
            return f"more than {MANY:,} {several}"
        return f"{self.left:,} {one if self.left == 1 else several}"


@dataclass(frozen=True)
class Queue:
    """A project in which the person compares: `left` pairs remain, at most `MANY` + 1."""

    project: Project
    is_paused: bool
    left: int
    done: int
    pause: Pause | None = None
    tasks: tuple[Task, ...] = ()
    is_unread: bool = False  # the guidelines, in the version that holds now
    # What a conversation with the model waits for, which never runs out; empty where there is none.
    talk: str = ""
    # Consent, guidelines or a qualification come before the work.
    is_on_the_way: bool = False

    @property
    def first_page(self) -> str:
        """Where the work begins, from the project's collect page on."""
        if self.left:
            return ""
        return f"/kinds/{self.tasks[0].kind.value}" if self.tasks else "/talk"

    @property
    def left_in_words(self) -> str:
        if self.left > MANY:
            return f"more than {MANY:,} pairs left"
        if self.left == 0:
            return "no pairs left"
        return f"{self.left:,} pair{'' if self.left == 1 else 's'} left"

    @property
    def is_open(self) -> bool:
        """Whether anything waits here for this person, of whatever kind."""
        is_any = self.left or self.tasks or self.talk or self.is_on_the_way
        return not self.is_paused and bool(is_any)


def queues_of(session: Session, person: Person, members: Sequence[Member]) -> list[Queue]:
    """The queues of those who were asked to compare; an owner is not, but may."""
    return [
        _queue(session, person, member)
        for member in members
        if Role.ANNOTATOR in member.given_roles
    ]


def _queue(session: Session, person: Person, member: Member) -> Queue:
    project = member.project
    mine = standing(session, project, person.id)
    work = {} if member.is_paused else open_work(session, project.id, person.id)
    return Queue(
        project,
        member.is_paused,
        n_left(session, project.id, person.id),
        n_done(session, project.id, person.id),
        pause_of(session, project.id, person.id) if member.is_paused else None,
        tuple(Task(kind, left) for kind, left in work.items() if left),
        reading_of(session, project.id, person.id).is_due,
        "" if member.is_paused else invitation(session, project, person.id),
        must_read(project, mine) or (mine.hindrance is not None and not mine.hindrance.is_limit),
    )
