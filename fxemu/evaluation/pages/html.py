"""The frame of every page: one template, one style, scripts of ours alone, pictures and sounds inside."""

from __future__ import annotations

import base64
import io
import secrets
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

HERE = Path(__file__).parent
LARGEST_IMAGE_PIXELS = 8_000_000
# A page stays below 10 MB: so much of it may be sounds, in base64.
SOUND_BYTES = 6_500_000


def render(template: str, scripts: tuple[str, ...] = (), **values: Any) -> str:
    """A page as HTML.

    Args:
        template: name of a file here, which extends `base.html`.
        scripts: names of JavaScript files here, to run at the end of the page, in order.
        values: that the template shows; text in them is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Only the page's own script and style carry the nonce; text from a run could not run even if it got through.
    return environment.get_template(template).render(
        style=_own("style.css"),
        scripts=[_own(name) for name in scripts],
        nonce=secrets.token_urlsafe(16),
        **values,
    )


def _own(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))


def data_url(kind: str, data: bytes) -> str:
    """Bytes of a MIME type as an address that a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(path: Path) -> str | None:
    """A PNG as a smaller WebP, drawn anew so that nothing but pixels comes along; None if it is missing or broken."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > LARGEST_IMAGE_PIXELS:
                return None
            data = io.BytesIO()
            image.convert("RGB").save(data, "WEBP", quality=80, method=1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return data_url("image/webp", data.getvalue())
