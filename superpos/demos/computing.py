"""Questions of `demos/06_computing_in_superposition`."""

from typing import Any

import numpy as np

from superpos.analysis import naive_loss
from superpos.demos.question import Question, Verdict

WORST = 1e-3  # of |x| computed by hand, where |x| ≤ 1
CLEARLY = 0.9  # of the loss of what computes nothing


def _absolute_by_hand(W1: Any, W2: Any) -> Verdict:
    """W2 ReLU(W1 x) against |x| on a grid."""
    first, second = np.asarray(W1, float), np.asarray(W2, float)
    if first.shape != (2, 1) or second.shape != (1, 2):
        return Verdict(False, f"W1 is (2, 1) and W2 (1, 2); these are {first.shape} and {second.shape}.")
    x = np.linspace(-1, 1, 21)[None, :]
    error = second @ np.maximum(first @ x, 0) - np.abs(x)
    worst = float(x[0, np.argmax(np.abs(error[0]))])
    if np.max(np.abs(error)) < WORST:
        return Verdict(True, "|x| at all 21 points tried.")
    return Verdict(
        False, f"at x = {worst:.1f} it gives {abs(worst) + float(error[0, np.argmax(np.abs(error[0]))]):.2f}."
    )


def _solved_naively(answer: Any, task: Any) -> Verdict:
    """How many features the naive baseline of a task solves."""
    guess, baseline = float(answer), naive_loss(task)
    solved = int(np.sum(baseline.solved))
    if guess == solved:
        return Verdict(True, f"it solves {solved} of {task.n_features}, and its loss is {baseline.loss:.4f}.")
    return Verdict(False, f"not {guess:g}. How many neurons does one |x| take?")


def _inhibitor(answer: Any, motif: Any, circuit: Any) -> Verdict:
    """Which neuron takes most away from the output that a motif disturbs; neurons are numbered from 1, as drawn."""
    j = int(answer) - 1
    if not 0 <= j < len(circuit.W1):
        return Verdict(False, f"neurons are numbered from 1 to {len(circuit.W1)}.")
    a, b = motif.primary, motif.secondary
    if j == motif.neuron:
        return Verdict(False, "that is the neuron that disturbs the output. Another one has to set it right.")
    same = np.sign(circuit.W1[j, a]) == np.sign(circuit.W1[motif.neuron, a])
    slope = float(abs(circuit.W1[j, a]) * circuit.W2[b, j]) if same else 0.0
    effect = f"if feature {a + 1} alone is active, neuron {j + 1} changes output {b + 1} with slope {slope:.2f}"
    if j == motif.inhibitor:
        return Verdict(True, f"{effect}, against {motif.interference:.2f} from neuron {motif.neuron + 1}.")
    return Verdict(False, f"{effect}; it takes {-motif.interference:.2f} or so.")


def _computes(answer: Any, table: Any) -> Verdict:
    """Which (exponent, noise) beat both the naive baseline and the linear control clearly."""
    guess = {(int(q), round(float(noise), 6)) for q, noise in answer}
    cells = {
        (int(q), round(float(noise), 6)): table.sel(loss_exponent=q, label_noise=noise)
        for q in table["loss_exponent"].values
        for noise in table["label_noise"].values
    }
    if not guess <= set(cells):
        return Verdict(False, f"models are named (exponent, noise): {', '.join(map(str, cells))}.")
    bar = {name: CLEARLY * min(1.0, float(cell["linear"].mean())) for name, cell in cells.items()}
    better = {name for name, cell in cells.items() if float(cell["relative"].mean()) < bar[name]}
    losses = "; ".join(
        f"{name} {float(cell['relative'].mean()):.2f}, linear {float(cell['linear'].mean()):.2f}"
        for name, cell in cells.items()
    )
    if guess == better:
        return Verdict(True, f"over the naive loss: {losses}.")
    extra, missing = len(guess - better), len(better - guess)
    return Verdict(False, f"{extra} of yours do not beat both by a tenth, and {missing} that do are not among yours.")


QUESTIONS: dict[str, Question] = {
    "absolute_by_hand": Question("two arrays, (2, 1) and (1, 2)", _absolute_by_hand),
    "solved_naively": Question("a whole number", _solved_naively),
    "inhibitor": Question("the number of a neuron", _inhibitor),
    "computes": Question("a list of pairs such as [(2, 0.0)]", _computes),
}
