"""What the data pages show: counts, imports, sets, and the prompts with their answers."""

import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, cast, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.tables.accounts import Person
from app.tables.collect import Comparison, Completion, Pair, Prompt
from app.tables.datasets import Import, PreferenceRow, PreferenceSet
from app.tables.projects import Project

PAGE = 25

CONTENTS = text(
    """
    select
        (select count(*) from prompt where project_id = :id) as n_prompts,
        (select count(*) from completion where project_id = :id) as n_completions,
        count(*) as n_pairs,
        count(*) filter (where is_gold) as n_gold,
        count(*) filter (where is_open and not is_gold and n_taken < overlap) as n_open,
        count(*) filter (where exists (
            select from comparison c where c.pair_id = pair.id)) as n_answered,
        (select count(*) from comparison where project_id = :id) as n_comparisons,
        (select count(*) from comparison
         where project_id = :id and is_surplus) as n_surplus
    from pair where project_id = :id
    """
)


def contents(session: Session, project_id: uuid.UUID) -> Row[Any]:
    """How many prompts, completions, pairs and comparisons the project holds, and in what state."""
    return session.execute(CONTENTS, {"id": project_id}).one()


def list_imports(session: Session, project_id: uuid.UUID, limit: int = 10) -> list[Import]:
    return list(
        session.scalars(
            select(Import)
            .where(Import.project_id == project_id)
            .order_by(Import.created_at.desc())
            .limit(limit)
        )
    )


def list_sets(session: Session, project_id: uuid.UUID) -> list[PreferenceSet]:
    return list(
        session.scalars(
            select(PreferenceSet)
            .where(PreferenceSet.project_id == project_id)
            .order_by(PreferenceSet.number.desc())
        )
    )


def find_import(session: Session, project: Project, import_id: uuid.UUID) -> Import:
    found = session.get(Import, import_id)
    if found is None or found.project_id != project.id:
        raise NotFound("There is no such import in this project.")
    return found


def find_set_by_id(session: Session, project: Project, set_id: uuid.UUID) -> PreferenceSet:
    found = session.get(PreferenceSet, set_id)
    if found is None or found.project_id != project.id:
        raise NotFound("There is no such preference set in this project.")
    return found


@dataclass(frozen=True)
class SetFigures:
    """What a preference set's page counts: answers by rating (1 to 8), and by annotator."""

    ratings: list[tuple[int, int]]
    most: int
    annotators: list[Any]
    n_about_equal: int
    n_both_bad: int
    flags: list[tuple[str, int, int, int]]


def set_figures(session: Session, set_id: uuid.UUID) -> SetFigures:
    is_in = PreferenceRow.preference_set_id == set_id
    rows = session.execute(
        select(PreferenceRow.rating, func.count()).where(is_in).group_by(PreferenceRow.rating)
    )
    counts = {row[0]: row[1] for row in rows}
    ratings = [(rating, counts.get(rating, 0)) for rating in range(1, 9)]
    annotators = session.execute(
        select(
            PreferenceRow.annotator_hash.label("name"),
            func.count().label("n"),
            func.count().filter(PreferenceRow.rating <= 4).label("n_a"),
            func.count().filter(PreferenceRow.rating.in_([4, 5])).label("n_close"),
        )
        .where(is_in)
        .group_by(PreferenceRow.annotator_hash)
        .order_by(func.count().desc(), PreferenceRow.annotator_hash)
    )
    marks = session.execute(
        select(
            func.count().filter(PreferenceRow.is_about_equal).label("equal"),
            func.count().filter(PreferenceRow.is_both_bad).label("bad"),
        ).where(is_in)
    ).one()
    return SetFigures(
        ratings=ratings,
        most=max(counts.values(), default=0),
        annotators=list(annotators.all()),
        n_about_equal=marks.equal,
        n_both_bad=marks.bad,
        flags=_flag_counts(session, set_id),
    )


def _flag_counts(session: Session, set_id: uuid.UUID) -> list[tuple[str, int, int, int]]:
    """For each flag: how often it was answered, how often with no (0), and not applicable."""
    rows = session.execute(
        text(
            """
            select flag ->> 'key' as key, count(*) as n,
                count(*) filter (where flag ->> 'value' = '0') as n_no,
                count(*) filter (where flag ->> 'value' is null) as n_not_applicable
            from preference_row, jsonb_array_elements(flags) flag
            where preference_set_id = :id group by 1 order by 1
            """
        ),
        {"id": set_id},
    )
    return [(row.key, row.n, row.n_no, row.n_not_applicable) for row in rows]


def _matching(project_id: uuid.UUID, words: str) -> Select[Any]:
    statement = select(Prompt.id).where(Prompt.project_id == project_id)
    if not words:
        return statement
    pattern = "%" + words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    in_completion = (
        select(Completion.id)
        .where(Completion.prompt_id == Prompt.id, Completion.text.ilike(pattern))
        .exists()
    )
    # As text and not as JSON, which writes quotes and line feeds in another way than people do.
    message = func.jsonb_array_elements(Prompt.messages).table_valued("value", name="message")
    in_prompt = (
        select(message.c.value)
        .where(cast(message.c.value, JSONB)["content"].astext.ilike(pattern))
        .exists()
    )
    return statement.where(or_(in_prompt, Prompt.group_key == words, in_completion))


def list_prompts(
    session: Session, project_id: uuid.UUID, words: str, page: int
) -> tuple[list[Row[Any]], int]:
    """One page of the prompts that hold `words`, newest first, and how many there are in all."""
    matching = _matching(project_id, words)
    total = session.scalar(select(func.count()).select_from(matching.subquery())) or 0

    def counted(of: Any, owner: Any) -> Any:
        return select(func.count()).select_from(of).where(owner == Prompt.id).scalar_subquery()

    n_answers = (
        select(func.count())
        .select_from(Comparison)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Pair.prompt_id == Prompt.id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(
            Prompt.id,
            Prompt.messages,
            Prompt.group_key,
            counted(Completion, Completion.prompt_id).label("n_completions"),
            counted(Pair, Pair.prompt_id).label("n_pairs"),
            n_answers.label("n_answers"),
        )
        .where(Prompt.id.in_(matching))
        .order_by(Prompt.created_at.desc(), Prompt.id)
        .limit(PAGE)
        .offset((page - 1) * PAGE)
    )
    return list(rows), total


@dataclass(frozen=True)
class PromptDetail:
    """A prompt with everything that hangs on it. `numbers` says which completion is number what."""

    prompt: Prompt
    completions: list[Completion]
    numbers: dict[uuid.UUID, int]
    pairs: list[Pair]
    answers: dict[uuid.UUID, list[Any]]
    wins: Counter[uuid.UUID]


def prompt_detail(session: Session, project: Project, prompt_id: uuid.UUID) -> PromptDetail:
    """Raises NotFound where the project has no such prompt."""
    prompt = session.get(Prompt, prompt_id)
    if prompt is None or prompt.project_id != project.id:
        raise NotFound("There is no such prompt in this project.")
    completions = list(
        session.scalars(
            select(Completion)
            .where(Completion.prompt_id == prompt_id)
            .order_by(Completion.created_at, Completion.id)
        )
    )
    pairs = session.scalars(select(Pair).where(Pair.prompt_id == prompt_id).order_by(Pair.id)).all()
    rows = session.execute(
        select(Comparison, Person.name.label("name"))
        .join(Person, Person.id == Comparison.annotator_id)
        .where(Comparison.pair_id.in_([pair.id for pair in pairs]))
        .order_by(Comparison.created_at)
    ).all()
    answers: dict[uuid.UUID, list[Any]] = {pair.id: [] for pair in pairs}
    for row in rows:
        answers[row.Comparison.pair_id].append(row)
    wins: Counter[uuid.UUID] = Counter()
    for pair in pairs:
        for row in answers[pair.id]:
            if row.Comparison.is_retest:
                continue
            is_a = row.Comparison.rating <= 4
            wins[pair.completion_a_id if is_a else pair.completion_b_id] += 1
    ordered = sorted(pairs, key=lambda pair: -len(answers[pair.id]))
    numbers = {completion.id: number for number, completion in enumerate(completions, 1)}
    return PromptDetail(prompt, completions, numbers, ordered, answers, wins)
