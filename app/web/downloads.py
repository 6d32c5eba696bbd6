"""A file on its way out."""

from collections.abc import Iterator

from fastapi.responses import Response, StreamingResponse


def attachment(pieces: Iterator[bytes], file_name: str, media_type: str) -> StreamingResponse:
    """A response that the browser saves under `file_name`, sent piece by piece."""
    return StreamingResponse(
        pieces,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )


def csv_response(text: str, name: str) -> Response:
    """A table that the browser saves under `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
