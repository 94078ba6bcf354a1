"""Pictures as files: the suffix says the format, and a file appears whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harvester.errors import ExportError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from harvester.plot.picture import Picture

NO_DATES: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
PAGE = ".html"
SUFFIXES = (*NO_DATES, PAGE)
MOST_IN_GRID = 60


def check(path: str, targets: int = 1, *, grid: bool = False) -> str:
    """Return the suffix of a picture's path, before anything is read for it. Raises UsageError for one that is no picture, or too many targets."""
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"'{file.name}' is no picture that can be made.", f"Known suffixes: {', '.join(SUFFIXES)}.", "A table: harvest export -o FILE"
        )
    if targets > MOST_IN_GRID and (grid or suffix in (".png", ".svg")):
        raise UsageError(
            f"{targets} targets are too many for one picture.",
            f"A grid holds {MOST_IN_GRID}.",
            "Pages, one each: -o FILE.pdf without --grid",
        )
    return suffix


def save(pictures: Sequence[Picture], path: str | os.PathLike[str], *, size: str = "page", grid: bool = False) -> None:
    """Draw one or more targets into a file.

    Several are a page each in PDF (with `grid` one picture there too), one below the other in HTML, a grid in PNG and SVG. `size` is one of
    `figure.SIZES`, and counts for all but HTML. Raises UsageError (see `check`), ExportError where the file cannot be written.
    """
    file = Path(path)
    suffix = check(str(file), len(pictures), grid=grid)
    if suffix == PAGE:
        from harvester.plot.page import page

        with whole_file(file) as handle:
            handle.write(page(pictures).encode())
        return
    from harvester.plot.figure import SIZES, quiet_settings

    with quiet_settings(), whole_file(file) as handle:
        if suffix == ".pdf" and not grid:
            _save_pages(pictures, handle, size)
        else:
            from harvester.plot.figure import draw

            figure = draw(pictures, SIZES[size])
            figure.savefig(handle, format=suffix[1:], dpi=SIZES[size].dpi, metadata=NO_DATES[suffix])


def _save_pages(pictures: Sequence[Picture], handle: Any, size: str) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    from harvester.plot.figure import SIZES, draw

    with PdfPages(handle, metadata=NO_DATES[".pdf"]) as pages:
        for one in pictures:
            figure: Figure = draw([one], SIZES[size])
            pages.savefig(figure, dpi=SIZES[size].dpi)


@contextmanager
def whole_file(file: Path) -> Iterator[Any]:
    """Give a new file beside the wanted one, which takes its place only if all went well. Raises ExportError."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as handle:
            yield handle
        part.replace(file)
    except OSError as error:
        raise ExportError(
            f"'{file}' cannot be written.", f"{error.strerror or error}.", "Name a place with -o where you may write."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
