"""Consent as each person gives and withdraws it, for every project of theirs, old ones too."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.accounts.consent import consents_of, current_text, said_by, say
from app.accounts.demographics import QUESTIONS, UNSAID, UNSAID_LABEL
from app.accounts.own_projects import own_project, own_projects
from app.agree.consent_forms import AboutMeForm, AgreeForm, WithdrawForm
from app.agree.decisions import standing_exclusion
from app.agree.reach import reach_of
from app.agree.withdrawal import Withdrawal, agree, bring_back, withdraw
from app.errors import DomainError, Invalid
from app.projects.queries import projects_of
from app.tables.accounts import Person, Role
from app.tables.consent import Question
from app.tables.projects import Project
from app.web.dependencies import SessionDep
from app.web.login import LoginDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/consents")
SAID = {
    Withdrawal.ABOUT_ME: "What you said about yourself is deleted.",
    Withdrawal.FUTURE: "Your consent is withdrawn. Your answers so far stay in use.",
    Withdrawal.ANSWERS: "Your consent is withdrawn, and your answers are left out from now on.",
}


@router.get("")
def list_consents(request: Request, session: SessionDep, login: LoginDep) -> Response:
    rows = [(one, _standing(session, one, login.person)) for one in _projects(session, login)]
    return render(request, "agree/consents.html", {"rows": rows})


def _projects(session: Session, login: LoginDep) -> list[Project]:
    return list(own_projects(session, login.person.id))


def _standing(session: Session, project: Project, person: Person) -> dict[str, Any]:
    """How the person stands to the project's text: `last` is their newest consent, if any."""
    consents = consents_of(session, project.id, person.id)
    last = consents[0] if consents else None
    given = last if last and last.ended_at is None else None
    is_enough = given is not None and given.number >= (project.consent_from or 0)
    return {
        "text": current_text(session, project.id),
        "last": last,
        "given": given,
        "is_enough": is_enough,
        "exclusion": standing_exclusion(session, project.id, person.id, is_own=True),
    }


@router.get("/{slug}")
def show_consent(request: Request, session: SessionDep, login: LoginDep, slug: str) -> Response:
    return _page(request, session, login.person, own_project(session, login.person, slug))


def _page(
    request: Request,
    session: Session,
    person: Person,
    project: Project,
    *,
    form: AboutMeForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    mine = next((one for one in projects_of(session, person) if one.project.id == project.id), None)
    context = {
        "project": project,
        "is_member": mine is not None,
        "is_annotator": mine is not None and Role.ANNOTATOR in mine.roles,
        **_standing(session, project, person),
        "questions": {Question(one): QUESTIONS[Question(one)] for one in _asked(project)},
        "said": form.read() if form else said_by(session, project.id, person.id),
        "unsaid": UNSAID,
        "unsaid_label": UNSAID_LABEL,
        "error": refusal.message if refusal else "",
    }
    return render(request, "agree/consent.html", context, status=refusal.status if refusal else 200)


def _asked(project: Project) -> list[str]:
    return [one.value for one in Question if one.value in project.demographic_questions]


@router.post("/{slug}")
def give(
    session: SessionDep, login: LoginDep, slug: str, form: Annotated[AgreeForm, Form()]
) -> Response:
    project = own_project(session, login.person, slug)
    agree(session, project, login.person, form.number)
    return redirect(f"/consents/{slug}", f"Noted: you agree to version {form.number}.")


@router.post("/{slug}/about-me")
def save_about_me(
    request: Request,
    session: SessionDep,
    login: LoginDep,
    slug: str,
    form: Annotated[AboutMeForm, Form()],
) -> Response:
    project = own_project(session, login.person, slug)
    try:
        say(session, project, login.person, form.read())
    except Invalid as refusal:
        return _page(request, session, login.person, project, form=form, refusal=refusal)
    return redirect(f"/consents/{slug}", "Saved. You can change or delete it here at any time.")


@router.get("/{slug}/withdraw")
def ask_to_withdraw(request: Request, session: SessionDep, login: LoginDep, slug: str) -> Response:
    """What withdrawing means, and how far one's answers have gone, before it is done."""
    return _withdraw_page(request, session, login.person, own_project(session, login.person, slug))


def _withdraw_page(
    request: Request, session: Session, person: Person, project: Project, error: str = ""
) -> Response:
    context = {
        "project": project,
        **_standing(session, project, person),
        "has_said": bool(said_by(session, project.id, person.id)),
        "reach": reach_of(session, project.id, person.id),
        "error": error,
    }
    return render(request, "agree/withdraw.html", context, status=422 if error else 200)


@router.post("/{slug}/withdraw")
def take_back(
    request: Request,
    session: SessionDep,
    login: LoginDep,
    slug: str,
    form: Annotated[WithdrawForm, Form()],
) -> Response:
    project = own_project(session, login.person, slug)
    if form.what is None:
        return _withdraw_page(request, session, login.person, project, "Choose what you take back.")
    withdraw(session, project, login.person, form.what)
    return redirect(f"/consents/{slug}", SAID[form.what])


@router.post("/{slug}/return")
def count_again(session: SessionDep, login: LoginDep, slug: str) -> Response:
    bring_back(session, own_project(session, login.person, slug), login.person)
    return redirect(f"/consents/{slug}", "Your answers count again.")
