"""Powers of two: the sizes of arrays in a kernel."""


def next_power(n: int) -> int:
    """The least power of two that is at least n.

    >>> [next_power(n) for n in (1, 2, 30, 400)]
    [1, 2, 32, 512]
    """
    return 1 << (n - 1).bit_length()
