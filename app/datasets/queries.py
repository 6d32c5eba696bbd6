"""The SQL of imports, preference sets and exports."""

import uuid
from typing import Any

from sqlalchemy import (
    Row,
    ScalarSelect,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by
from sqlalchemy.orm import Session, aliased

from app.collect.left_out import left_out_people, withdrawn_pairs
from app.errors import NotFound
from app.tables.collect import Assignment, Comparison, Completion, FlagAnswer, Pair, Prompt
from app.tables.datasets import PreferenceRow, PreferenceSet, Split
from app.tables.groups import GroupMember, PersonGroup
from app.tables.kinds import RankingComparison
from app.tables.projects import Flag, Project

CompletionA = aliased(Completion, name="completion_a")
CompletionB = aliased(Completion, name="completion_b")

# The lock of a running import is held by the transaction that writes it. Whoever gets it finds
# nobody at work: the connection is gone, and with it all that was written.
SWEEP = text(
    """
    update "import"
    set state = 'failed', finished_at = clock_timestamp(), error = :error
    where state = 'running' and project_id = :project_id
      and created_at < clock_timestamp() - interval '10 seconds'
      and pg_try_advisory_xact_lock(hashtextextended(id::text, 22))
    returning id
    """
)


def hold_import(session: Session, import_id: uuid.UUID) -> None:
    """Hold the import's lock to the end of the transaction: the sign that somebody is at it."""
    statement = text("select pg_advisory_xact_lock(hashtextextended(:id, 22))")
    session.execute(statement, {"id": str(import_id)})


def hold_freezes(session: Session, project_id: uuid.UUID) -> None:
    """One freeze a project at a time: numbers, sides and pseudonyms follow from the one before."""
    statement = text("select pg_advisory_xact_lock(hashtextextended(:id, 23))")
    session.execute(statement, {"id": str(project_id)})


def find_project(session: Session, slug: str) -> Project:
    """Raises NotFound."""
    project = session.scalar(select(Project).where(Project.slug == slug))
    if project is None:
        raise NotFound(f"There is no project “{slug}”.")
    return project


def group_name() -> Any:
    """What stays on one side of the split: the prompt's group, else the prompt itself."""
    return func.coalesce(func.nullif(Prompt.group_key, ""), func.encode(Prompt.content_hash, "hex"))


def is_counted(project_id: uuid.UUID) -> Any:
    """An answer that counts: within the overlap, to a pair without a fixed answer, the first time.

    A retest says how steady its annotator is; beside the first answer it would count them twice.
    Answers of a person whom an admin excluded, or who withdrew, stay and do not count until that
    is lifted; nor does anyone's answer about a text by someone who withdrew.
    """
    is_first = Comparison.is_surplus.is_(False) & Comparison.is_retest.is_(False)
    is_left_out = Comparison.annotator_id.in_(left_out_people(project_id))
    is_of_withdrawn = Pair.id.in_(withdrawn_pairs(project_id))
    return is_first & Pair.is_gold.is_(False) & ~is_left_out & ~is_of_withdrawn


def flags_of_comparison() -> ScalarSelect[Any]:
    """The answered flags as a JSON list of {key, scope, side, value}; side "" is neither."""
    side = case(
        (FlagAnswer.completion_id == Pair.completion_a_id, literal("A")),
        (FlagAnswer.completion_id == Pair.completion_b_id, literal("B")),
        else_=literal(""),
    )
    one = func.json_build_object(
        "key", Flag.key, "scope", Flag.scope, "side", side, "value", FlagAnswer.value
    )
    return (
        select(
            func.coalesce(
                cast(func.json_agg(aggregate_order_by(one, Flag.key, side)), JSONB),
                cast(literal("[]", Text), JSONB),
            )
        )
        .select_from(FlagAnswer)
        .join(Flag, Flag.id == FlagAnswer.flag_id)
        .where(FlagAnswer.comparison_id == Comparison.id)
        .correlate(Comparison, Pair)
        .scalar_subquery()
    )


def counted_comparisons(project_id: uuid.UUID) -> Select[Any]:
    """Every counted answer of a project with all that a freeze keeps, oldest first."""
    return (
        select(
            Comparison.id.label("comparison_id"),
            Comparison.pair_id,
            Comparison.annotator_id,
            Comparison.rating,
            Comparison.is_about_equal,
            Comparison.is_both_bad,
            Comparison.confidence,
            Assignment.draw,
            Assignment.draw_probability,
            group_name().label("group"),
            flags_of_comparison().label("flags"),
            RankingComparison.ranking_id,
            Comparison.role,
        )
        .join(Pair, Pair.id == Comparison.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(Assignment, Assignment.id == Comparison.assignment_id)
        .outerjoin(RankingComparison, RankingComparison.comparison_id == Comparison.id)
        .where(Comparison.project_id == project_id, is_counted(project_id))
        .order_by(Comparison.created_at, Comparison.id)
    )


def count_unfrozen(session: Session, project_id: uuid.UUID) -> int:
    """Counted answers, new or changed, that the project's newest preference set does not hold."""
    newest = newest_set(session, project_id)
    is_frozen = (
        select(PreferenceRow.comparison_id)
        .where(
            PreferenceRow.comparison_id == Comparison.id,
            PreferenceRow.preference_set_id == (newest.id if newest else None),
            PreferenceRow.rating == Comparison.rating,
            PreferenceRow.is_about_equal == Comparison.is_about_equal,
            PreferenceRow.is_both_bad == Comparison.is_both_bad,
            PreferenceRow.confidence.is_not_distinct_from(Comparison.confidence),
            # By what they say and not by when: a set keeps no comments, and a change that no
            # freeze would see must not call for one.
            or_(Comparison.revision == 1, PreferenceRow.flags == flags_of_comparison()),
        )
        .exists()
    )
    counted = (
        select(func.count())
        .select_from(Comparison)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Comparison.project_id == project_id, is_counted(project_id), ~is_frozen)
    )
    return session.scalar(counted) or 0


def newest_set(session: Session, project_id: uuid.UUID) -> PreferenceSet | None:
    return session.scalar(
        select(PreferenceSet)
        .where(PreferenceSet.project_id == project_id)
        .order_by(PreferenceSet.number.desc())
        .limit(1)
    )


def earlier_sides(session: Session, project_id: uuid.UUID) -> dict[str, Split]:
    """On which side each group stood in any preference set of the project."""
    rows = session.execute(
        select(group_name().label("group"), PreferenceRow.split)
        .distinct()
        .select_from(PreferenceRow)
        .join(PreferenceSet, PreferenceSet.id == PreferenceRow.preference_set_id)
        .join(Pair, Pair.id == PreferenceRow.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(PreferenceSet.project_id == project_id)
    )
    return {row.group: row.split for row in rows}


def earlier_pseudonyms(session: Session, project_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Under which name each annotator stands in the project's preference sets."""
    rows = session.execute(
        select(Comparison.annotator_id, PreferenceRow.annotator_hash)
        .distinct()
        .select_from(PreferenceRow)
        .join(Comparison, Comparison.id == PreferenceRow.comparison_id)
        .where(Comparison.project_id == project_id)
    )
    return {row.annotator_id: row.annotator_hash for row in rows}


def groups_by_pseudonym(session: Session, set_id: uuid.UUID) -> dict[str, list[str]]:
    """The groups that each annotator of a set is in now, by the name that stands in its lines.

    Everyone of the set is in it, also who is in no group: what a reward run reads by group.
    """
    rows = session.execute(
        select(
            PreferenceRow.annotator_hash,
            func.coalesce(
                func.array_agg(PersonGroup.name.distinct()).filter(PersonGroup.id.is_not(None)),
                cast(literal("{}"), ARRAY(Text)),
            ),
        )
        .join(Comparison, Comparison.id == PreferenceRow.comparison_id)
        .outerjoin(GroupMember, GroupMember.person_id == Comparison.annotator_id)
        .outerjoin(
            PersonGroup,
            (PersonGroup.id == GroupMember.group_id)
            & (PersonGroup.project_id == Comparison.project_id),
        )
        .where(PreferenceRow.preference_set_id == set_id)
        .group_by(PreferenceRow.annotator_hash)
        .order_by(PreferenceRow.annotator_hash)
    )
    return {name: sorted(groups) for name, groups in rows}


def frozen_answers(session: Session, set_id: uuid.UUID) -> dict[uuid.UUID, Row[Any]]:
    rows = session.execute(
        select(
            PreferenceRow.comparison_id,
            PreferenceRow.rating,
            PreferenceRow.is_about_equal,
            PreferenceRow.is_both_bad,
            PreferenceRow.confidence,
            PreferenceRow.flags,
        ).where(PreferenceRow.preference_set_id == set_id)
    )
    return {row.comparison_id: row for row in rows}


def export_rows(set_id: uuid.UUID, split: Split | None) -> Select[Any]:
    """The rows of a set with their texts, in the frozen order."""
    statement = (
        select(
            *PreferenceRow.__table__.columns,
            Prompt.messages,
            group_name().label("group"),
            CompletionA.text.label("text_a"),
            CompletionB.text.label("text_b"),
        )
        .join(Pair, Pair.id == PreferenceRow.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(CompletionA, CompletionA.id == Pair.completion_a_id)
        .join(CompletionB, CompletionB.id == Pair.completion_b_id)
        .where(PreferenceRow.preference_set_id == set_id)
        .order_by(PreferenceRow.position)
    )
    return statement if split is None else statement.where(PreferenceRow.split == split)
