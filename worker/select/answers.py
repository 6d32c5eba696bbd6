"""What the live last layer needs from the database, and what it leaves there."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, text, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.datasets.queries import is_counted
from app.tables.collect import Comparison, Completion, Pair, Prompt
from app.tables.datasets import PreferenceRow, Split
from app.tables.kinds import RankingComparison
from app.tables.runs import RewardRun
from app.tables.scores import CompletionScore
from worker.select.pairs import MOST_PAIRS, is_fresh

# Newer ones alone are learnt from where nobody trained for so long.
MOST_ANSWERS = 5_000
ROWS_AT_ONCE = 2_000


@dataclass(frozen=True)
class LiveRun:
    """The live reward run of a project's objective; `is_ranking` while it ranks the open pairs."""

    id: uuid.UUID
    project_id: uuid.UUID
    preference_set_id: uuid.UUID
    artefact: str
    is_ranking: bool


_RUNS = text(
    """
    select r.id, r.project_id, r.preference_set_id, r.artefact,
        exists (select from job j where j.project_id = p.id and j.kind = 'select'
                and j.state in ('queued', 'running'))
    from reward_run r join project p on p.id = r.project_id and p.objective = r.objective
    where r.is_live and r.state = 'finished' and not p.is_archived and r.artefact <> ''
      and jsonb_typeof(r.report -> 'uncertainty') = 'object'
      -- What learnt from a flag learns nothing from ratings.
      and r.configuration ->> 'flag' is null
    """
)
_HOLD = text(
    """
    insert into live_reward (reward_run_id, worker, lease_until)
    values (:run, :worker, clock_timestamp() + :lease)
    on conflict (reward_run_id) do update
        set worker = excluded.worker, lease_until = excluded.lease_until
        where live_reward.worker = excluded.worker
           or live_reward.lease_until < clock_timestamp()
    returning reward_run_id
    """
)
_LET_GO = text(
    "update live_reward set lease_until = clock_timestamp() "
    "where reward_run_id = :run and worker = :worker"
)
# What decides about many answers at once: who is excluded, and which pairs are gold.
_DECIDED = text(
    """
    select (select count(*) + count(lifted_at) from exclusion where project_id = :project),
           (select count(*) from pair where project_id = :project and is_gold and is_open)
    """
)
_PUBLISH = text(
    """
    with found as (
        select p.id from pair p
        where p.id = any(:ids) and p.project_id = :project
          and p.is_open and not p.is_gold and not p.is_audit and p.n_taken = 0
        order by p.id for update skip locked
    ),
    said as (
        select * from unnest(
            cast(:ids as uuid[]), cast(:priorities as float8[]),
            cast(:chances as float8[]), cast(:errors as float8[])
        ) as s (id, priority, chance, error)
    )
    update pair p set priority = s.priority, reward_chance = s.chance,
        reward_standard_error = s.error
    from said s join found f on f.id = s.id where p.id = s.id
    """
)


def live_runs(session: Session) -> list[LiveRun]:
    """Live reward runs that know what they do not know, of projects in use."""
    return [LiveRun(*row) for row in session.execute(_RUNS)]


def hold(session: Session, run: LiveRun, worker: str, lease: timedelta) -> bool:
    """Whether this worker may keep the run's live layer until the lease is over."""
    values = {"run": run.id, "worker": worker, "lease": lease}
    return session.execute(_HOLD, values).first() is not None


def let_go(session: Session, run: LiveRun, worker: str) -> None:
    session.execute(_LET_GO, {"run": run.id, "worker": worker})


def decided(session: Session, run: LiveRun) -> tuple[int, int]:
    """Changes with what people decide about answers that are in already."""
    n_exclusions, n_gold = session.execute(_DECIDED, {"project": run.project_id}).one()
    return n_exclusions, n_gold


def now(session: Session) -> datetime:
    """The database's clock."""
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found


def beliefs(session: Session, run: LiveRun) -> dict[uuid.UUID, float]:
    """How much the training believed each annotator that it estimated, beside 1 for the mean."""
    report: dict[str, Any] = session.get_one(RewardRun, run.id).report.get("reliability") or {}
    weights = {one["annotator"]: float(one["weight"]) for one in report.get("annotators") or ()}
    if not weights:
        return {}
    rows = session.execute(
        select(Comparison.annotator_id, PreferenceRow.annotator_hash)
        .distinct()
        .join(Comparison, Comparison.id == PreferenceRow.comparison_id)
        .where(PreferenceRow.preference_set_id == run.preference_set_id)
    )
    return {person: weights[name] for person, name in rows if name in weights}


def different(
    session: Session, run: LiveRun, beliefs: Mapping[uuid.UUID, float]
) -> list[dict[str, Any]]:
    """Every answer that differs from what the training learnt, oldest first; see Desk."""
    frozen, statement = _answers(run)
    is_learnt = frozen.split == Split.TRAIN
    says_other = or_(
        ~is_counted(run.project_id),
        frozen.rating != Comparison.rating,
        frozen.is_about_equal != Comparison.is_about_equal,
    )
    rows = session.execute(
        statement.where(
            Comparison.project_id == run.project_id,
            or_(
                and_(frozen.comparison_id.is_(None), is_counted(run.project_id)),
                and_(is_learnt, says_other),
            ),
        )
        .order_by(Comparison.created_at.desc(), Comparison.id)
        .limit(MOST_ANSWERS)
    ).all()
    return [_as_answer(row, beliefs) for row in reversed(rows)]


def changed_since(
    session: Session, run: LiveRun, beliefs: Mapping[uuid.UUID, float], since: datetime
) -> list[dict[str, Any]]:
    """Answers given or changed since then, oldest first; held-out ones of the training not."""
    frozen, statement = _answers(run)
    of_project = Comparison.project_id == run.project_id
    touched = union_all(
        select(Comparison.id).where(of_project, Comparison.created_at > since),
        select(Comparison.id).where(
            of_project, Comparison.revision > 1, Comparison.updated_at > since
        ),
    ).subquery()
    rows = session.execute(
        statement.where(
            Comparison.id.in_(select(touched.c.id)),
            or_(frozen.comparison_id.is_(None), frozen.split == Split.TRAIN),
        ).order_by(Comparison.created_at, Comparison.id)
    )
    return [_as_answer(row, beliefs) for row in rows]


def _answers(run: LiveRun) -> tuple[Any, Select[Any]]:
    """Answers beside how the run's preference set froze them."""
    frozen = aliased(PreferenceRow, name="frozen")
    own, whole = aliased(RankingComparison), aliased(RankingComparison)
    # All pairs of one ranking together count as one answer does.
    n_ranked = (
        select(func.count())
        .select_from(own)
        .join(whole, whole.ranking_id == own.ranking_id)
        .where(own.comparison_id == Comparison.id)
        .correlate(Comparison)
        .scalar_subquery()
    )
    statement = (
        select(
            Comparison.id,
            Comparison.revision,
            Comparison.pair_id,
            Comparison.annotator_id,
            Pair.completion_a_id,
            Pair.completion_b_id,
            Comparison.rating,
            Comparison.is_about_equal,
            is_counted(run.project_id).label("is_counted"),
            n_ranked.label("n_ranked"),
            frozen.rating.label("was_rating"),
            frozen.is_about_equal.label("was_equal"),
            frozen.weight.label("was_weight"),
        )
        .join(Pair, Pair.id == Comparison.pair_id)
        .outerjoin(
            frozen,
            and_(
                frozen.comparison_id == Comparison.id,
                frozen.preference_set_id == run.preference_set_id,
            ),
        )
    )
    return frozen, statement


def _as_answer(row: Any, beliefs: Mapping[uuid.UUID, float]) -> dict[str, Any]:
    """What it says weighs as its annotator was believed in the training; new people weigh 1."""
    weight = beliefs.get(row.annotator_id, 1.0) * (row.was_weight or 1.0) / max(row.n_ranked, 1)
    says = {"rating": row.rating, "is_tie": row.is_about_equal, "weight": weight}
    trained = {"rating": row.was_rating, "is_tie": row.was_equal, "weight": weight}
    return {
        "id": str(row.id),
        "revision": row.revision,
        "pair": str(row.pair_id),
        "a": str(row.completion_a_id),
        "b": str(row.completion_b_id),
        "now": says if row.is_counted else None,
        "trained": None if row.was_rating is None else trained,
    }


def open_pairs(session: Session, run: LiveRun) -> list[list[Any]]:
    """Pairs that nobody holds, the first of the queue: [id, a, b, priority, chance or None]."""
    rows = session.execute(
        select(
            Pair.id, Pair.completion_a_id, Pair.completion_b_id, Pair.priority, Pair.reward_chance
        )
        .where(Pair.project_id == run.project_id, *is_fresh())
        .order_by(Pair.priority.desc(), Pair.id)
        .limit(MOST_PAIRS)
    )
    return [[str(i), str(a), str(b), priority, chance] for i, a, b, priority, chance in rows]


def texts(session: Session, completions: Sequence[str]) -> list[dict[str, Any]]:
    """{id, messages} of completions with their prompts."""
    rows = session.execute(
        select(Completion.id, Prompt.messages, Completion.text)
        .join(Prompt, Prompt.id == Completion.prompt_id)
        .where(Completion.id.in_([uuid.UUID(one) for one in completions]))
    )
    return [
        {"id": str(one), "messages": [*messages, {"role": "assistant", "content": words}]}
        for one, messages, words in rows
    ]


def publish_ranks(session: Session, run: LiveRun, rows: Sequence[Sequence[Any]]) -> None:
    """Write [pair, priority, chance, error] to pairs that are still fresh and not being claimed."""
    ids, priorities, chances, errors = zip(*rows, strict=True)
    session.execute(
        _PUBLISH,
        {
            "project": run.project_id,
            "ids": [uuid.UUID(one) for one in ids],
            "priorities": list(priorities),
            "chances": list(chances),
            "errors": list(errors),
        },
    )


def publish_scores(
    session: Session, run_id: uuid.UUID, scores: Sequence[tuple[str, float, float | None]]
) -> None:
    """Keep (completion, score, standard error or None) of a reward run; the newest word stays.

    Completions that are gone meanwhile are left out.
    """
    known = set(
        session.scalars(
            select(Completion.id).where(Completion.id.in_([uuid.UUID(one[0]) for one in scores]))
        )
    )
    rows = [
        {"reward_run_id": run_id, "completion_id": key, "score": score, "standard_error": error}
        for key, score, error in ((uuid.UUID(one), score, error) for one, score, error in scores)
        if key in known
    ]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        statement = insert(CompletionScore).values(rows[start : start + ROWS_AT_ONCE])
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["reward_run_id", "completion_id"],
                set_={
                    "score": statement.excluded.score,
                    "standard_error": statement.excluded.standard_error,
                },
            )
        )


def publish_state(session: Session, run: LiveRun, state: dict[str, Any]) -> None:
    """Say how the live layer stands, for people."""
    session.execute(
        text(
            """
            update live_reward set n_answers = :n_answers, n_unlearnt = :n_unlearnt,
                n_judged = :n_judged, n_right = :n_right, log_loss_sum = :log_loss_sum,
                n_ranked = :n_ranked, update_ms = coalesce(:ms, update_ms),
                updated_at = clock_timestamp()
            where reward_run_id = :run
            """
        ),
        {
            "run": run.id,
            "ms": state.get("ms") if state.get("n") else None,
            **{
                name: state[name]
                for name in (
                    "n_answers", "n_unlearnt", "n_judged", "n_right", "log_loss_sum", "n_ranked",
                )
            },
        },
    )  # fmt: skip
