"""A file on its way in: onto the disk once, and only after its sender was let in."""

import shutil
import tempfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, cast

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.errors import Invalid, TooLarge
from app.settings import get_settings


class Upload(NamedTuple):
    """A seekable file without a name; whoever takes it closes it."""

    stream: BinaryIO
    file_name: str
    n_bytes: int
    fields: Mapping[str, str] = MappingProxyType({})


def check_size(n_bytes: int) -> None:
    """Raises TooLarge."""
    limit = get_settings().max_upload_bytes
    if n_bytes > limit:
        raise TooLarge(
            f"The file has {n_bytes / 2**20:,.0f} MB, and this server accepts "
            f"{limit / 2**20:,.0f} MB. Pack it with gzip, split it, or import it with "
            "`prefloop import` on the server."
        )


async def receive_form(request: Request) -> Upload:
    """The part `file` of a form, and its other fields. Raises Invalid and TooLarge."""
    async with request.form() as form:
        part = form.get("file")
        if not isinstance(part, UploadFile) or not part.filename:
            raise Invalid("Choose a file to import.", field="file")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        stream, n_bytes = await run_in_threadpool(_keep, part.file)
        return Upload(stream, part.filename, n_bytes, fields)


async def receive_body(request: Request, file_name: str) -> Upload:
    """The request's body as it comes. Raises TooLarge."""
    spool = _open()
    try:
        async for piece in request.stream():
            spool.write(piece)
            check_size(spool.tell())
    except BaseException:
        spool.close()
        raise
    n_bytes = spool.tell()
    spool.seek(0)
    return Upload(spool, file_name, n_bytes)


def _keep(stream: BinaryIO) -> tuple[BinaryIO, int]:
    """A copy that outlives the request, and is gone with this process."""
    n_bytes = stream.seek(0, 2)
    check_size(n_bytes)
    stream.seek(0)
    spool = _open()
    shutil.copyfileobj(stream, spool, 2**20)
    spool.seek(0)
    return spool, n_bytes


def _open() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())
