"""Formulas as MathML, which browsers draw without a script or a network.

An invalid formula fails the build.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
# Commands that docutils has under another name.
SYNONYMS = {r"\\dots(?![a-zA-Z])": r"\\ldots", r"\\([bB]igg?)m?(?![a-zA-Z])": r"\\\1l"}


def _write(visitor: Any, node: nodes.Element, block: bool) -> None:
    text = node.astext()
    for pattern, replacement in SYNONYMS.items():
        text = re.sub(pattern, replacement, text)
    try:
        formula = tex2mathml(text, as_block=block)
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
        formula = f"<code>{visitor.encode(node.astext())}</code>"
    visitor.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def visit_inline(visitor: Any, node: nodes.Element) -> None:
    """Write an inline formula."""
    _write(visitor, node, block=False)


def visit_block(visitor: Any, node: nodes.Element) -> None:
    """Write a displayed formula."""
    _write(visitor, node, block=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("config-inited", lambda _, config: setattr(config, "html_math_renderer", "mathml"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
