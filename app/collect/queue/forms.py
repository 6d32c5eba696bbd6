"""The page about the queue, as typed: shares in per cent, limits that may be left empty."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.accounts.languages import names_of, read_languages
from app.collect.pairing import Mixture
from app.errors import Invalid
from app.tables.projects import Project

Line = Annotated[str, Field(max_length=2000)]

SHARES = ("uniform", "overlap", "gold", "retest", "audit")
RANGES: dict[str, tuple[int, int]] = {
    "overlap_answers": (2, 20),
    "retest_days": (0, 365),
    "kept_policies": (1, 1000),
}
LIMITS = ("most_a_day", "most_in_total")
MOST = 10_000_000


class QueueForm(BaseModel):
    uniform_share: Line = ""
    overlap_share: Line = ""
    gold_share: Line = ""
    retest_share: Line = ""
    audit_share: Line = ""
    overlap_answers: Line = ""
    retest_days: Line = ""
    kept_policies: Line = ""
    languages: Line = ""
    most_a_day: Line = ""
    most_in_total: Line = ""
    most_share: Line = ""

    @classmethod
    def of(cls, project: Project) -> "QueueForm":
        values = {name: getattr(project, name) for name in (*RANGES, *LIMITS)}
        shares = [*(f"{name}_share" for name in SHARES), "most_share"]
        per_cent = {name: getattr(project, name) for name in shares}
        return cls(
            languages=names_of(project.languages),
            **{name: "" if value is None else str(value) for name, value in values.items()},
            **{name: "" if v is None else f"{v * 100:.6g}" for name, v in per_cent.items()},
        )

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The columns' values, and a sentence for each field that is wrong."""
        errors: dict[str, str] = {}
        values: dict[str, Any] = {
            **{name: self._whole(name, *RANGES[name], errors) for name in RANGES},
            **{name: self._limit(name, errors) for name in LIMITS},
        }
        shares = {name: self._share(f"{name}_share", errors) for name in SHARES}
        if not errors.keys() & {f"{name}_share" for name in SHARES}:
            # What is wrong with the sum stands at the share that everything rests on.
            found = Mixture.problems(shares)
            errors.update({f"{name or 'uniform'}_share": said for name, said in found.items()})
        values |= {f"{name}_share": share for name, share in shares.items()}
        values["most_share"] = (
            self._share("most_share", errors) if self.most_share.strip() else None
        )
        if values["most_share"] == 0:
            errors["most_share"] = "Leave it empty for no limit; nobody could answer with 0%."
        try:
            values["languages"] = read_languages(self.languages)
        except Invalid as refusal:
            errors["languages"] = refusal.message
        return values, errors

    def _share(self, name: str, errors: dict[str, str]) -> float:
        try:
            per_cent = float(getattr(self, name).strip().removesuffix("%"))
        except ValueError:
            per_cent = math.nan
        if not 0 <= per_cent <= 100:
            errors[name] = "Write a number from 0 to 100."
        return per_cent / 100

    def _whole(self, name: str, least: int, most: int, errors: dict[str, str]) -> int:
        typed = getattr(self, name).strip()
        number = int(typed[:9]) if typed.isascii() and typed.isdigit() else -1
        if not least <= number <= most:
            errors[name] = f"Write a whole number from {least:,} to {most:,}."
        return number

    def _limit(self, name: str, errors: dict[str, str]) -> int | None:
        return self._whole(name, 1, MOST, errors) if getattr(self, name).strip() else None


class QualificationForm(BaseModel):
    name: Line = ""


class RequiredForm(BaseModel):
    is_required: bool = False
