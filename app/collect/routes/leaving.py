"""Going for good, after a look at what that means."""

from fastapi import Request, Response

from app.collect.leaving import leave_project
from app.web.access import AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render


def ask_to_leave(request: Request, access: AnnotatorAccess) -> Response:
    return render(request, "collect/leave.html", {"access": access})


def leave(session: SessionDep, access: AnnotatorAccess) -> Response:
    leave_project(session, access.project, access.person)
    return redirect("/", f"You have left {access.project.name}. Your answers stay.")
