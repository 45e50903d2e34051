r"""Points in space as far apart as possible: the best known placements of 7, 9, 10, 11 and 14.

Two questions have published answers. Tammes asks for the largest smallest angle (Sloane, "Tables of spherical codes":
77.87°, 70.53°, 66.15° and 55.67° for 7, 9, 10 and 14 points), Thomson for the least energy $\sum 1/|x_i - x_j|$ of charges
(25.759987, 32.716949, 40.596450 and 69.306363 for 9, 10, 11 and 14). For 9 both answers are the tricapped triangular prism,
at slightly different heights. Tammes' answer for 11 is the icosahedron without a vertex, which is no shape of its own, so
only Thomson's is here; Thomson's for 7 is a pentagon and an antipodal pair.
"""

import numpy as np

# Heights of the rings, cosines to the axis, at the least energy.
TRICAPPED_PRISM, BICAPPED_SQUARES, BICAPPED_HEXAGONS = 0.703648, 0.422687, 0.455368
COS_7 = np.cos(np.radians(77.86954))  # of the largest smallest angle between seven points


def ring(k: int, height: float, phase: float = 0.0) -> np.ndarray:
    """k points at one height, the cosine to the axis, turned by `phase` steps."""
    angle = 2 * np.pi * (np.arange(k) + phase) / k
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(k, height)], axis=1)


def codes() -> list[tuple[str, np.ndarray]]:
    """Names and vertices, unit vectors in rows."""
    poles = np.array([[0, 0, 1], [0, 0, -1]])

    def bicapped(k: int, height: float) -> np.ndarray:
        return np.concatenate([poles, ring(k, height), ring(k, -height, 0.5)])

    capped_octahedron = [poles[:1], ring(3, COS_7), ring(3, -np.sqrt((1 + 2 * COS_7) / 3), 0.5)]
    tricapped = [ring(3, 0), ring(3, TRICAPPED_PRISM, 0.5), ring(3, -TRICAPPED_PRISM, 0.5)]
    # With two mirrors: coordinates up to the signs of those that are not 0.
    ten = [(0.792443, 0, 0.609946), (0.510313, 0.859989, 0), (-0.837972, 0.545713, 0), (-0.127202, 0.545713, 0.828261)]
    eleven = [(-1, 0, 0), (0.805955, 0.591977, 0), (-0.515306, 0, 0.857006), (0.552682, 0, 0.833392)]
    eleven.append((-0.168360, 0.855926, 0.488923))
    return [
        ("capped octahedron", np.concatenate(capped_octahedron)),
        ("tricapped triangular prism", np.concatenate(tricapped)),
        ("gyroelongated square bipyramid", bicapped(4, BICAPPED_SQUARES)),
        ("10-point code", _mirrored(ten)),
        ("edge-contracted icosahedron", _mirrored(eleven)),
        ("gyroelongated hexagonal bipyramid", bicapped(6, BICAPPED_HEXAGONS)),
        ("14-point code", _fourteen()),
    ]


def _mirrored(points: list[tuple[float, float, float]]) -> np.ndarray:
    """The points and their mirror images in y and z, each once, scaled to length 1."""
    images = {(x, s * y + 0.0, t * z + 0.0) for x, y, z in points for s in (-1, 1) for t in (-1, 1)}
    images_of_points = np.array(sorted(images))
    return images_of_points / np.linalg.norm(images_of_points, axis=1, keepdims=True)


def _fourteen() -> np.ndarray:
    """Two poles, four points on the mirrors and eight between them (symmetry D₂d)."""
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, -1]])  # a quarter turn and a reflection
    turns = [np.linalg.matrix_power(turn, k) for k in range(4)]
    between = _direction(2.1699579, 0.9698502)
    on_mirrors = [t @ _direction(1.7584688, 0) for t in turns]
    others = [t @ (between * (1, s, 1)) for t in turns for s in (-1, 1)]
    poles = [np.array([0.0, 0, 1]), np.array([0.0, 0, -1])]
    return np.array([*poles, *on_mirrors, *others])


def _direction(polar: float, azimuth: float) -> np.ndarray:
    return np.array([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
