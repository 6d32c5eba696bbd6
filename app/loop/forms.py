"""What the loop page sends."""

import uuid

from pydantic import BaseModel

from app.loop.state import Step


class StartForm(BaseModel):
    step: Step


class JobForm(BaseModel):
    job_id: uuid.UUID


class SwitchForm(BaseModel):
    is_automatic: bool
