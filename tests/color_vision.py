"""How far two colours are apart for eyes of every kind.

Dichromats are simulated in linear sRGB by the matrices of Machado, Oliveira and Fernandes 2009 at severity 1
(https://doi.org/10.1109/TVCG.2009.113); the distance is CIEDE2000 (https://doi.org/10.1002/col.20070). A distance of about 1
is just noticeable in areas that touch.
"""

import numpy as np

VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(color: str, vision: str = "normal") -> np.ndarray:
    """L*, a*, b* (D65) of "#RRGGBB" as eyes of one kind see it."""
    rgb = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    t = _XYZ @ seen / (_XYZ @ np.ones(3))
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(first: np.ndarray, second: np.ndarray) -> float:
    """The CIEDE2000 difference of two colours in L*, a*, b*."""
    (L1, a1, b1), (L2, a2, b2) = first, second
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    dh = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dL, dC, dH = L2 - L1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    L, C = (L1 + L2) / 2, (c1 + c2) / 2
    h = h1 + h2 if c1 * c2 == 0 else (h1 + dh / 2) % 360
    turn = np.radians([h - 30, 2 * h, 3 * h + 6, 4 * h - 63])
    T = 1 + np.array([-0.17, 0.24, 0.32, -0.20]) @ np.cos(turn)
    s_l = 1 + 0.015 * (L - 50) ** 2 / np.sqrt(20 + (L - 50) ** 2)
    s_c, s_h = 1 + 0.045 * C, 1 + 0.015 * C * T
    r_t = -2 * np.sqrt(C**7 / (C**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    l, c, hue = dL / s_l, dC / s_c, dH / s_h
    return float(np.sqrt(l**2 + c**2 + hue**2 + r_t * c * hue))


def distance(first: str, second: str, vision: str = "normal") -> float:
    """The CIEDE2000 difference of two colours "#RRGGBB" as eyes of one kind see them."""
    return ciede2000(lab(first, vision), lab(second, vision))
