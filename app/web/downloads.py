"""A file on its way out."""

from collections.abc import Iterator

from fastapi.responses import StreamingResponse


def attachment(pieces: Iterator[bytes], file_name: str, media_type: str) -> StreamingResponse:
    """A response that the browser saves under `file_name`, sent piece by piece."""
    return StreamingResponse(
        pieces,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )
