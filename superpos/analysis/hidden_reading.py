"""What hidden neurons read of known features, and what the outputs lose without them."""

import numpy as np


def left_without(W1: np.ndarray, W2: np.ndarray, M: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""What is left of every feature in the outputs without the neurons of each feature, (removed, feature).

    A neuron is of the feature with its largest weight in W1. Outputs are $y' \approx C|x|$ by least squares, and what is left
    of feature i is $C_i \cdot M_i / \|M_i\|^2$: 1 if the outputs give it the weights that they should.
    """
    y = np.abs(x) - np.abs(x).mean(axis=1, keepdims=True)
    weights = np.maximum(W1 @ x, 0) @ y.T @ np.linalg.inv(y @ y.T)  # of |x_i| in each neuron
    owner = np.abs(W1).argmax(axis=1)
    without = [W2[:, owner != i] @ weights[owner != i] for i in range(len(x))]
    return np.sum(np.array(without) * M, axis=1) / np.sum(M**2, axis=0)


def reading_of(W1: np.ndarray, W2: np.ndarray, n_groups: int) -> tuple[float, float]:
    """(share of squared weights in a neuron's main group, features per neuron): means over neurons that say something."""
    squares = W1**2
    total = np.maximum(squares.sum(axis=1), 1e-30)
    say = np.sqrt(total) * np.linalg.norm(W2, axis=0)
    main = squares.reshape(len(W1), n_groups, -1).sum(axis=2).max(axis=1) / total
    spread = total**2 / np.maximum((squares**2).sum(axis=1), 1e-60)
    return float(np.average(main, weights=say)), float(np.average(spread, weights=say))
