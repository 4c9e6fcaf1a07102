"""Pictures in a page: small copies of them, and the `<img>` that holds one's bytes."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from striate.names import visible

if TYPE_CHECKING:
    from PIL import Image

TINY = 64  # pictures up to this side are shown with their pixels as squares


def thumbnail(pixels: np.ndarray, side: int = 160) -> bytes:
    """A small copy of a picture, JPEG or PNG, whichever is smaller; a tiny picture stays as it is, as PNG.

    pixels (H, W, C) or (H, W), `uint8`, or `float32` in [0, 255]; C is 1 or 3 (of more channels the first
    three are shown, of two the first). The longer side becomes at most `side` pixels. Raises ValueError
    where there are no pixels.
    """
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels must be (H, W, C), got {pixels.shape}")
    pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1]
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(np.nan_to_num(pixels), 0, 255)).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    longer = max(picture.size)
    if longer > side:
        size = (max(1, round(picture.width * side / longer)), max(1, round(picture.height * side / longer)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=longer <= TINY)
    if longer <= TINY:
        return png.getvalue()
    return min(as_jpeg(picture), png.getvalue(), key=len)


def as_jpeg(picture: Image.Image) -> bytes:
    """A picture in grey or in colours as a JPEG file, as pages have it."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82, optimize=True)
    return file.getvalue()


def image(data: bytes, alt: str) -> Markup:
    """The `<img>` of an encoded PNG or JPEG picture, its bytes in the page itself.

    Raises ValueError where the bytes are neither.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "png"
        width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
        pixel = ' class="pixel"' if max(width, height) <= TINY else ""
    elif data.startswith(b"\xff\xd8"):
        kind, pixel = "jpeg", ""
    else:
        raise ValueError("a picture of a page must be PNG or JPEG")
    code = base64.b64encode(data).decode("ascii")
    return Markup('<img{} src="data:image/{};base64,{}" alt="{}">').format(
        Markup(pixel), kind, Markup(code), visible(alt)
    )
