"""Arithmetic modulo a prime as a table of all questions and their answers."""

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
