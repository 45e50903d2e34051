"""What the page names models by: the library's own shapes and limits, so that there is one truth.

`page/components.js` and `page/shapes.js` are the algorithm of `superpos.analysis.components` and `superpos.analysis.shapes`
again, over these numbers.
"""

from typing import Any

from superpos.analysis import components, features, shapes
from superpos.theory.polytopes import known_shapes

# Groups of more features than this stay without a name in the page: what can be trained there has no more.
MAX_VERTICES = 12
# Of coordinates of unit vectors; every limit that they are compared with is coarser by far.
DECIMALS = 9


def naming() -> dict[str, Any]:
    """Known shapes by their number of vertices, and the limits of naming, JSON-ready.

    Simplices and polygons have no vertices: the page knows them in closed form.
    """
    limits = {
        "represented": features.REPRESENTED_ABOVE,
        "join": list(components.JOIN_ABOVE),
        "leak": [components.LEAK_PER_ROOT, components.MIN_LEAK, components.MAX_LEAK],
        "D": components.D_LIMIT,
        "intrusion": components.INTRUSION,
        "spanned": components.SPANNED_ABOVE,
        "norms": components.NORM_RATIO,
        "residual": shapes.RESIDUAL_LIMIT,
        "cosine": shapes.COSINE_LIMIT,
        "row": shapes.ROW_LIMIT,
        "rank": shapes.RANK_LIMIT,
        "noise": shapes.NOISE_LIMIT,
        "tries": shapes.MAX_TRIES,
    }
    words = {"irregular": shapes.IRREGULAR, "shared": components.SHARED}
    return {
        "limits": limits,
        "words": words,
        "shapes": [[_shape(s) for s in known_shapes(k)] for k in range(1, MAX_VERTICES + 1)],
    }


def _shape(shape: Any) -> dict[str, Any]:
    vertices = None if shape.is_simplex or shape.is_plane else shape.vertices.round(DECIMALS).tolist()
    return {"name": shape.name, "dimensions": shape.dimensions, "vertices": vertices}
