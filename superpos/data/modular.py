"""Arithmetic modulo a prime as a table of all questions and their answers."""

from typing import NamedTuple

import numpy as np

from superpos import check
from superpos.errors import ConfigError

# What is asked about two numbers, by name.
OPERATIONS = {
    "addition": lambda a, b: a + b,
    "subtraction": lambda a, b: a - b,
    "multiplication": lambda a, b: a * b,
    "sum_of_squares": lambda a, b: a * a + b * b,
}
LARGEST = 997


def modular_table(p: int, operation: str = "addition") -> np.ndarray:
    """All pairs and what they make modulo p, as columns a, b, c of shape (3, p²); pair (a, b) is column a·p + b.

    Raises:
        ConfigError: p is no odd prime up to 997, or `operation` is none of addition, subtraction, multiplication and
            sum_of_squares (a² + b²).
    """
    check.integer("p", p, at_least=3, at_most=LARGEST)
    if any(p % q == 0 for q in range(2, int(p**0.5) + 1)):
        raise ConfigError(f"p must be an odd prime, got {p}.")
    check.one_of("operation", operation, tuple(OPERATIONS))
    a, b = np.divmod(np.arange(p * p), p)
    return np.stack([a, b, OPERATIONS[operation](a, b) % p])


class AsAddition(NamedTuple):
    """Orders in which an operation modulo p is addition modulo n: a[i] ∘ b[j] = c[(i + j) mod n], each (n,)."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray


def as_addition(p: int, operation: str) -> AsAddition:
    r"""The orders of both numbers and of the answers in which an operation modulo p is addition.

    Addition is in order as it is, n = p. For subtraction b goes backwards, $b_j = -j$, n = p. For multiplication all three
    go through the powers of a primitive root g, $a_i = b_i = c_i = g^i$, of which there are n = p − 1: i is the discrete
    logarithm of $g^i$. A factor 0, whose product is 0, has none and is left out.

    Raises:
        ConfigError: p is no odd prime up to 997, or `operation` is none of addition, subtraction and multiplication.
    """
    modular_table(p)
    check.one_of("operation", operation, ("addition", "subtraction", "multiplication"))
    i = np.arange(p)
    if operation != "multiplication":
        return AsAddition(i, -i % p if operation == "subtraction" else i, i)
    powers = next(powers for g in range(2, p + 1) if len(set(powers := _powers(g, p))) == p - 1)
    return AsAddition(*[np.array(powers)] * 3)


def _powers(g: int, p: int) -> list[int]:
    """g⁰, g¹, …, p − 1 of them modulo p."""
    return [pow(g, i, p) for i in range(p - 1)]
