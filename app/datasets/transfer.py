"""Preference sets on their way out, alike for pages and scripts."""

import uuid
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.datasets import browse
from app.datasets.service import note_export, parse_split, stream_export
from app.tables.datasets import PreferenceSet, Split
from app.tables.projects import Project

MEDIA_TYPE = "application/jsonl; charset=utf-8"


class Export(NamedTuple):
    """`pieces` are read in a session of their own, so they may outlive the request's."""

    pieces: Iterator[bytes]
    file_name: str
    media_type: str = MEDIA_TYPE


def file_name(project: Project, found: PreferenceSet, split: Split | None) -> str:
    which = f"-{split.value}" if split else ""
    return f"{project.slug}-preferences-{found.number}{which}.jsonl"


def hand_out(
    session: Session,
    project: Project,
    set_id: uuid.UUID,
    split: str,
    *,
    by: uuid.UUID,
    address: str,
) -> Export:
    """The lines of a frozen set, and a note of who took them. Raises NotFound and Invalid."""
    side = parse_split(split)
    found = browse.find_set_by_id(session, project, set_id)
    note_export(session, found, side, by=by, address=address)
    return Export(stream_export(found.id, side), file_name(project, found, side))
