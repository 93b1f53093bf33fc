"""Equations as MathML, which browsers draw by themselves: pages are read without a network."""

from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.logging import getLogger

logger = getLogger(__name__)


def setup(application: Any) -> dict[str, Any]:
    """Register the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    application.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: Any, node: Any) -> None:
    """Write an equation in a line."""
    writer.body.append(_drawn(node, as_block=False))
    raise SkipNode


def _block(writer: Any, node: Any) -> None:
    """Write an equation by itself."""
    writer.body.append(f'<div class="math">{_drawn(node, as_block=True)}</div>')
    raise SkipNode


def _drawn(node: Any, *, as_block: bool) -> str:
    """Return an equation as MathML; one that cannot be read is a warning."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logger.warning("%s: %s", node.astext(), error, location=node)
        return ""
