"""Formulas as MathML, which browsers draw themselves: no script, no fonts to fetch, and screen readers read it."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

LONG = 40  # characters of LaTeX


def inline(writer: Any, node: nodes.math) -> None:
    """A formula in a line of text; a long one may scroll where the screen is narrow."""
    kind = "formula long" if len(node.astext()) > LONG else "formula"
    writer.body.append(writer.starttag(node, "span", "", CLASS=kind))
    writer.body.append(convert(node.astext(), display="inline") + "</span>")
    raise nodes.SkipNode


def block(writer: Any, node: nodes.math_block) -> None:
    """A formula on lines of its own."""
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    writer.body.append(convert(aligned(node.astext()), display="block"))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def aligned(formula: str) -> str:
    """LaTeX that breaks its lines with two backslashes needs an environment to do so in."""
    return rf"\begin{{aligned}}{formula}\end{{aligned}}" if r"\\" in formula and r"\begin" not in formula else formula


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer that conf.py chooses."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
