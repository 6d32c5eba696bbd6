"""What a project asks people to agree to and to say, as its admins see it."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.accounts.cells import FEWEST
from app.accounts.composition import composition
from app.accounts.consent import add_text, set_rules, texts_of
from app.accounts.demographics import QUESTIONS
from app.agree.consent_forms import ConsentRulesForm, ConsentTextForm
from app.agree.withdrawal import withdrawn_from
from app.errors import Conflict, DomainError, Invalid
from app.spreadsheet import as_csv
from app.tables.consent import Question
from app.web.access import Access, AdminAccess
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/people/consent")


@router.get("")
def show_rules(request: Request, access: AdminAccess, session: SessionDep) -> Response:
    return _page(request, session, access)


def _page(
    request: Request,
    session: Session,
    access: Access,
    *,
    form: ConsentTextForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    texts = texts_of(session, access.project.id)
    context = {
        "access": access,
        "texts": texts,
        "form": form or ConsentTextForm(markdown=texts[0][0].markdown if texts else ""),
        "error": refusal.message if refusal else "",
        "questions": QUESTIONS,
        "cells": composition(session, access.project),
        "fewest": FEWEST,
        "withdrawn": withdrawn_from(session, access.project.id),
    }
    status = refusal.status if refusal else 200
    return render(request, "agree/consent_rules.html", context, status=status)


@router.post("/texts")
def save_text(
    request: Request,
    access: AdminAccess,
    session: SessionDep,
    form: Annotated[ConsentTextForm, Form()],
) -> Response:
    try:
        made = add_text(
            session,
            access.project,
            form.markdown,
            is_asked_again=form.is_asked_again,
            by=access.person.id,
        )
    except Invalid as refusal:
        return _page(request, session, access, form=form, refusal=refusal)
    return redirect(_url(access), f"Version {made.number} of the text holds from now on.")


@router.post("/rules")
def save_rules(
    request: Request,
    access: AdminAccess,
    session: SessionDep,
    form: Annotated[ConsentRulesForm, Form()],
) -> Response:
    try:
        set_rules(
            session,
            access.project,
            is_required=form.is_required,
            is_leaving_out_allowed=form.is_leaving_out_allowed,
            questions=form.questions,
            by=access.person.id,
        )
    except Conflict as refusal:
        return _page(request, session, access, refusal=refusal)
    return redirect(_url(access), "Saved. It holds from the next page on.")


@router.get("/people.csv")
def download_cells(access: AdminAccess, session: SessionDep) -> Response:
    """The same cells as on the page: hidden ones stay hidden."""
    rows = [
        (Question(one.question).value, choice, n)
        for one in composition(session, access.project)
        for choice, n in one.cells.shown.items()
    ]
    text = as_csv(("question", "choice", "people"), rows)
    return csv_response(text, f"{access.project.slug}-people.csv")


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/people/consent"
