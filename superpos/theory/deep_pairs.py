r"""What one hidden layer cannot compute: the smaller of two features where both are positive.

$T(x, y) = \min(\mathrm{ReLU}(x), \mathrm{ReLU}(y))$ of independent features that are active with probability p and then
uniform on [−1, 1].

**Two layers.** $T = \mathrm{ReLU}(\mathrm{ReLU}(x) - \mathrm{ReLU}(x - y))$, so two neurons and one behind them are enough.

**One layer.** $\mathrm{ReLU}(z) = (z + |z|) / 2$, so a layer of any number of neurons without a bias, read out linearly, is a
linear function of x plus an even one. The odd part of T is half of $\min(|x|, |y|)$ with the sign that both have, and 0
where they have none in common. A linear function is all that one layer has for it. Under inputs as likely as their negatives
even and odd errors add up, which gives a floor that no number of neurons goes below.
"""

from superpos import check


def missing_error(p: float) -> float:
    r"""The loss of answering the mean of T: $\mathrm{Var}\,T = p^2/24 - p^4/144$.

    >>> round(1 / sp.theory.missing_error(1.0), 1)
    28.8
    """
    p = check.number("p", p, above=0, at_most=1)
    return p**2 / 24 - p**4 / 144


def one_layer_floor(p: float) -> float:
    r"""The least $E(T - y')^2$ of one hidden layer without a bias, of any number of neurons and any readout:

    $$\frac{p^2}{48} - \frac{25\, p^3}{1536}.$$

    The first term is the second moment of the odd part, the second what the best linear function $\frac{5p}{32}(x + y)$
    takes of it. Neurons shared among many pairs do not help: other features are independent of this one's odd part. For
    sparse features it is half of the loss of answering the mean. Derived here.

    >>> round(sp.theory.one_layer_floor(0.1) / sp.theory.missing_error(0.1), 3)
    0.462
    """
    p = check.number("p", p, above=0, at_most=1)
    return p**2 / 48 - 25 * p**3 / 1536
