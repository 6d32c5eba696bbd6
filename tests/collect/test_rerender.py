"""HTML of an older renderer is written anew: for the pair that is shown, or for everything."""

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.kinds.queries import prompt_sheet
from app.collect.rerender import render_some_anew
from app.collect.sheets import sheet_of
from app.markdown import RENDERER
from app.tables.collect import Completion, Pair, Prompt
from app.tables.kinds import PromptKind
from tests.collect.test_kinds import take, world
from tests.collect.worlds import make_world


def test_what_an_older_renderer_wrote_is_rendered_when_it_is_shown_and_the_rest_by_command(
    session: Session,
) -> None:
    make_world(session, "alice", n_pairs=2)
    session.execute(text("update prompt set html = '[\"old\"]', renderer = 1"))
    session.execute(text("update completion set html = 'old', renderer = 1"))
    pair = session.scalars(select(Pair.id)).first()
    assert pair is not None
    sheet = sheet_of(session, pair, is_flipped=False)
    assert "Question" in sheet.html[0]
    assert all("words of" in side.html for side in (sheet.left, sheet.right))
    assert render_some_anew(session) == 3
    assert render_some_anew(session) == 0
    for table in (Prompt, Completion):
        assert set(session.scalars(select(table.renderer))) == {RENDERER}


def test_the_pages_of_other_kinds_render_what_they_show_anew(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=1)
    session.execute(text("update prompt set html = '[\"old\"]', renderer = 1"))
    session.execute(text("update completion set html = 'old', renderer = 1"))
    session.commit()
    sheet = prompt_sheet(session, take(session, project, alice, PromptKind.RANK))
    assert "Question" in sheet.html[0]
    assert all("Answer" in html for _, html in sheet.completions)
