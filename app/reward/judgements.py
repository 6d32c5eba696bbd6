"""What reward runs say of held-out comparisons: recorded once, asked for by pages."""

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, func, insert, select, text
from sqlalchemy.orm import Session, aliased

from app.reward import artefacts
from app.reward.paired import Couple
from app.tables.collect import Comparison, Pair, Prompt
from app.tables.datasets import PreferenceRow
from app.tables.groups import GroupMember, PersonGroup
from app.tables.runs import Judgement, RewardRun

FILE = "held_out.jsonl"
MOST = 200_000
ROWS_AT_ONCE = 2000
LETTERS = 140
OtherJudgement = aliased(Judgement, name="other_judgement")
OtherRow = aliased(PreferenceRow, name="other_row")


def record(session: Session, run: RewardRun) -> int:
    """Write the judgements that a finished run's artefact holds; how many. Flushes.

    A line is known by its pair and its annotator, which name one row of the run's set. Lines of
    other sets, and an artefact without the file, are left out.
    """
    folder = artefacts.find_folder(run)
    if folder is None:
        return 0
    rows = session.execute(
        select(PreferenceRow.pair_id, PreferenceRow.annotator_hash, PreferenceRow.position).where(
            PreferenceRow.preference_set_id == run.preference_set_id
        )
    )
    positions = {(str(pair), annotator): position for pair, annotator, position in rows}
    found = list(_judged(run.id, artefacts.read_json_lines(folder / FILE, MOST), positions))
    session.execute(delete(Judgement).where(Judgement.run_id == run.id))
    for start in range(0, len(found), ROWS_AT_ONCE):
        session.execute(insert(Judgement), found[start : start + ROWS_AT_ONCE])
    return len(found)


def _judged(
    run_id: uuid.UUID, lines: Iterable[dict[str, Any]], positions: dict[tuple[str, str], int]
) -> Iterable[dict[str, Any]]:
    seen = set()
    for line in lines:
        position = positions.get((str(line.get("pair")), str(line.get("annotator"))))
        figures = [line.get("margin"), line.get("probability")]
        is_whole = all(isinstance(one, int | float) and math.isfinite(one) for one in figures)
        if position is not None and is_whole and position not in seen:
            seen.add(position)
            yield {"run_id": run_id, "position": position, "margin": figures[0],
                   "probability": figures[1]}  # fmt: skip


@dataclass(frozen=True)
class Surprise:
    """A held-out comparison, and the chance that the model gave to what the person said."""

    pair_id: uuid.UUID
    prompt_id: uuid.UUID
    prompt: str
    rating: int
    probability: float
    margin: float
    annotator: str


def list_surprises(session: Session, run: RewardRun, limit: int = 10) -> list[Surprise]:
    """The comparisons that the model held for least likely, each pair once; ties are left out."""
    ranked = (
        select(
            PreferenceRow.pair_id,
            Pair.prompt_id,
            Prompt.messages,
            PreferenceRow.rating,
            Judgement.probability,
            Judgement.margin,
            PreferenceRow.annotator_hash,
            func.row_number()
            .over(partition_by=PreferenceRow.pair_id, order_by=Judgement.probability)
            .label("place"),
        )
        .join(PreferenceRow, PreferenceRow.position == Judgement.position)
        .join(Pair, Pair.id == PreferenceRow.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(
            Judgement.run_id == run.id,
            PreferenceRow.preference_set_id == run.preference_set_id,
            PreferenceRow.is_about_equal.is_(False),
        )
        .subquery()
    )
    rows = session.execute(
        select(ranked).where(ranked.c.place == 1).order_by(ranked.c.probability).limit(limit)
    )
    return [
        Surprise(row.pair_id, row.prompt_id, _beginning(row.messages), row.rating,
                 row.probability, row.margin, row.annotator_hash)
        for row in rows
    ]  # fmt: skip


def _beginning(messages: Sequence[dict[str, Any]]) -> str:
    """The last thing that was asked, short enough for a row."""
    last = str(messages[-1].get("content", "")) if messages else ""
    words = " ".join(last.split())
    return words if len(words) <= LETTERS else words[: LETTERS - 1].rstrip() + "…"


# Texts of the metadata that name a topic or a source: a key with a few values that many share.
BY_TOPIC = text(
    """
    with judged as (
        select j.margin, p.metadata, p.group_key
        from judgement j
        join preference_row r on r.position = j.position and r.preference_set_id = :set_id
        join pair on pair.id = r.pair_id
        join prompt p on p.id = pair.prompt_id
        where j.run_id = :run_id and not r.is_about_equal
    ), named as (
        select m.key, m.value, margin from judged, jsonb_each_text(judged.metadata) m
        where length(m.value) between 1 and 60
        union all
        select 'group', group_key, margin from judged where group_key <> ''
    ), counted as (
        select key, value, count(*) as n,
               avg(case when margin > 0 then 1.0 when margin = 0 then 0.5 else 0 end) as accuracy
        from named group by key, value
    ), fit as (
        select key from counted group by key
        having count(*) between 2 and 40 and avg(n) >= 2
    )
    select key, value, n, accuracy from counted where key in (select key from fit)
    order by key, n desc, value
    """
)


def by_topic(session: Session, run: RewardRun) -> dict[str, list[tuple[str, int, float]]]:
    """Metadata key → (value, held-out comparisons, accuracy), for keys that sort prompts."""
    rows = session.execute(BY_TOPIC, {"run_id": run.id, "set_id": run.preference_set_id})
    found: dict[str, list[tuple[str, int, float]]] = {}
    for key, value, n, accuracy in rows:
        found.setdefault(key, []).append((value, n, float(accuracy)))
    return found


def by_group(session: Session, run: RewardRun) -> list[tuple[str, int, float]]:
    """(group of annotators, held-out comparisons, accuracy); a person may be in several."""
    right = case((Judgement.margin > 0, 1.0), (Judgement.margin == 0, 0.5), else_=0.0)
    rows = session.execute(
        select(PersonGroup.name, func.count(), func.avg(right))
        .select_from(Judgement)
        .join(PreferenceRow, PreferenceRow.position == Judgement.position)
        .join(Comparison, Comparison.id == PreferenceRow.comparison_id)
        .join(GroupMember, GroupMember.person_id == Comparison.annotator_id)
        .join(PersonGroup, PersonGroup.id == GroupMember.group_id)
        .where(
            Judgement.run_id == run.id,
            PreferenceRow.preference_set_id == run.preference_set_id,
            PreferenceRow.is_about_equal.is_(False),
            PersonGroup.project_id == run.project_id,
        )
        .group_by(PersonGroup.id)
        .order_by(func.count().desc(), PersonGroup.name)
    )
    return [(name, n, float(accuracy)) for name, n, accuracy in rows]


def list_couples(session: Session, one: RewardRun, two: RewardRun) -> list[Couple]:
    """Held-out comparisons that both runs judged, with what each says of them; no ties."""
    rows = session.execute(
        select(PreferenceRow.pair_id, Judgement.margin, OtherJudgement.margin)
        .join(PreferenceRow, PreferenceRow.position == Judgement.position)
        .join(
            OtherRow,
            (OtherRow.comparison_id == PreferenceRow.comparison_id)
            & (OtherRow.preference_set_id == two.preference_set_id)
            & (OtherRow.rating == PreferenceRow.rating),
        )
        .join(
            OtherJudgement,
            (OtherJudgement.position == OtherRow.position) & (OtherJudgement.run_id == two.id),
        )
        .where(
            Judgement.run_id == one.id,
            PreferenceRow.preference_set_id == one.preference_set_id,
            PreferenceRow.is_about_equal.is_(False),
        )
        .order_by(Judgement.position)
    )
    return [Couple(str(pair_id), left, right) for pair_id, left, right in rows]
