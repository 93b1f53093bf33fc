"""Videos: pictures one after the other, as GIF, or as MP4 by the program ffmpeg."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import matplotlib
import numpy as np

from aqreanalysis.atomic import check_target
from aqreanalysis.maps.period import MapError

#: Colours of a GIF.
_GIF_COLOURS = 255
#: Closer ones are one colour to Pillow, which takes either.
_ALIKE = 8


def check_video(path: Path, frames_per_second: float) -> None:
    """Refuse a file that cannot be written as a video.

    Raises
    ------
    MapError
        If its name has another ending, the frames per second are none, or ffmpeg is missing.
    WriteError
        If there is no such folder, or no permission.
    """
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise MapError(
            f"an animation is written as .mp4 or .gif; found {path.name!r}. Change its ending."
        )
    check_target(path, overwrite=True)
    number = isinstance(frames_per_second, int | float) and not isinstance(frames_per_second, bool)
    if not (number and 0.1 <= frames_per_second <= 60):
        raise MapError(f"frames_per_second is from 0.1 to 60; found {frames_per_second!r}")
    if path.suffix.lower() == ".mp4":
        ffmpeg()


@contextmanager
def video(
    path: Path,
    size: tuple[int, int],
    frames_per_second: float,
    *,
    colours: np.ndarray | None = None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what takes the pictures of a video, (height, width, 3) uint8, and writes them.

    Parameters
    ----------
    path : Path
        In .mp4 or .gif.
    size : tuple of int
        Width and height of the pictures, pixels.
    frames_per_second : float
    colours : (n, 3) uint8, optional
        That a GIF must have; the others are those of its first picture.
    """
    if path.suffix.lower() == ".gif":
        chosen = np.empty((0, 3), np.uint8) if colours is None else colours
        with _gif(path, chosen, frames_per_second) as write:
            yield write
    else:
        with _mp4(path, size, frames_per_second) as write:
            yield write


def ffmpeg() -> str:
    """Return the program ffmpeg: that of matplotlib's ``animation.ffmpeg_path``.

    Raises
    ------
    MapError
        If there is none.
    """
    program = shutil.which(matplotlib.rcParams["animation.ffmpeg_path"])
    if program is None:
        raise MapError(
            "an .mp4 needs the program ffmpeg, which is not there: install it, set matplotlib's "
            "rcParams['animation.ffmpeg_path'] to where it is, or end the name in .gif"
        )
    return program


@contextmanager
def _gif(
    path: Path, colours: np.ndarray, frames_per_second: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what takes the pictures of a GIF; colours (n, 3) uint8 are those of the values."""
    from PIL import Image

    pictures: list[Image.Image] = []
    palette = Image.new("P", (1, 1))

    def write(picture: np.ndarray) -> None:
        image = Image.fromarray(picture)
        if not pictures:
            # One palette for all, so that the colours of a place do not flicker: those of values,
            # and of words and lines as many as are left.
            others = image.quantize(_GIF_COLOURS - len(colours)).getpalette() or []
            palette.putpalette(_with_others(colours, np.reshape(others, (-1, 3))))
        pictures.append(image.quantize(palette=palette, dither=Image.Dither.NONE))

    yield write
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / frames_per_second),
        loop=0,
    )


def _with_others(colours: np.ndarray, others: np.ndarray) -> list[int]:
    """Return a palette of colours (n, 3) and, as far as there is room, of others unlike them."""
    if len(colours):
        apart = np.abs(others[:, None] - colours.astype(int)).max(-1).min(-1)
        others = others[apart >= _ALIKE]
    whole = np.concatenate([colours, others]).astype(int)[:_GIF_COLOURS]
    return [int(value) for value in whole.ravel()]


@contextmanager
def _mp4(
    path: Path, size: tuple[int, int], frames_per_second: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what takes the pictures of an MP4, which ffmpeg makes."""
    width, height = size
    command = [
        *(ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-s", f"{width}x{height}", "-r", f"{frames_per_second:g}", "-i", "-", "-an"),
        # Sides must be even, and players want this format of pixels.
        *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p"),
        *("-movflags", "+faststart", str(path)),
    ]
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        assert program.stdin is not None
        finished = False
        try:
            with suppress(BrokenPipeError):  # ffmpeg says why
                yield lambda picture: _send(program, picture)
            finished = True
        finally:
            with suppress(BrokenPipeError):
                program.stdin.close()
            if not finished:
                program.kill()
            failed = program.wait()
        said.seek(0)
        reason = said.read().decode(errors="replace").strip()
    if failed:
        last = reason.splitlines()[-1] if reason else f"exit status {failed}"
        raise OSError(f"ffmpeg made no video ({last}); try a .gif")


def _send(program: subprocess.Popen[bytes], picture: np.ndarray) -> None:
    """Send a picture to ffmpeg."""
    assert program.stdin is not None
    program.stdin.write(picture.tobytes())
