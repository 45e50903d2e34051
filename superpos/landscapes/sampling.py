r"""How a chain is sampled: the settings, and what each of them means.

A chain draws w from the localised and tempered posterior around a point $w^*$,

$$p(w) \propto \exp\big({-n\beta\,L(w)} - \tfrac{\gamma}{2}\,\|w - w^*\|^2\big),$$

Lau et al. 2023, "The Local Learning Coefficient" ([arXiv:2308.12108](https://arxiv.org/abs/2308.12108)).
"""

from dataclasses import dataclass
from typing import Any

from superpos import check
from superpos.errors import ConfigError

# Methods that need the loss itself, and methods that see it through batches.
EXACT = ("hmc", "langevin")
BATCHED = ("sgld", "rmsprop_sgld")
METHODS = (*EXACT, *BATCHED)
# nβ: as large as single precision allows where the loss is exact, and as batches of usual size allow where it is not.
DEFAULT_NBETA = {"hmc": 10_000.0, "langevin": 10_000.0, "sgld": 1_000.0, "rmsprop_sgld": 1_000.0}
# Parameters beyond this count as diverged: their powers overflow in single precision.
MAX_PARAMETER = 1e6


@dataclass(frozen=True, kw_only=True)
class Sampling:
    r"""Settings of the chains of one estimate.

    `method` is one of

    - `"hmc"`: Hamiltonian Monte Carlo on the exact loss, `steps` leapfrog steps per draw (1 is MALA). Proposals are accepted
      or rejected, so the step adds no bias;
    - `"langevin"`: $\Delta w = -\tfrac\varepsilon2 (n\beta \nabla L + \gamma (w - w^*)) + \sqrt\varepsilon\,\xi$ on the exact
      loss, `steps` of them per draw, uncorrected;
    - `"sgld"`: the same with the gradient of a fresh batch of `batch_size` (Welling & Teh 2011);
    - `"rmsprop_sgld"`: the same, every parameter with a step of its own by the size of its gradients (Li et al. 2016,
      [arXiv:1512.07666](https://arxiv.org/abs/1512.07666)); sizes are learned in the warm-up and then held, so that no
      correction term is missing.

    `step_size` ε is None for one that is chosen: for HMC in the warm-up of every chain, for an acceptance of .8 (dual
    averaging, Hoffman & Gelman 2014, [arXiv:1111.4246](https://arxiv.org/abs/1111.4246)); for the others from the largest
    curvature at the point and the noise of its gradients, so that neither widens the posterior by much
    (`superpos.landscapes.steps`).
    """

    method: str = "hmc"
    nbeta: float = 10_000.0  # n β: number of data times inverse temperature
    gamma: float = 1.0  # localisation: strength of the pull back to the point
    step_size: float | None = None
    chains: int = 8
    draws: int = 400  # of every chain, after the warm-up
    warmup: int = 200  # draws that are thrown away
    steps: int = 8  # gradient steps per draw
    batch_size: int = 256  # of the methods that see batches
    seed: int = 0

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.one_of("method", self.method, METHODS)
        check.number("nbeta", self.nbeta, above=0, at_most=1e9)
        check.number("gamma", self.gamma, at_least=0, at_most=1e9)
        if self.step_size is not None:
            check.number("step_size", self.step_size, above=0, at_most=1e3)
        check.integer("chains", self.chains, at_least=1, at_most=100_000)
        # Two chains are made of the halves of one; a variance of autocorrelations needs some more.
        check.integer("draws", self.draws, at_least=8, at_most=10_000_000)
        check.integer("warmup", self.warmup)
        check.integer("steps", self.steps, at_least=1, at_most=10_000)
        check.integer("batch_size", self.batch_size, at_least=1)
        check.integer("seed", self.seed, at_most=2**32 - 1)
        if self.method == "hmc" and self.step_size is None and self.warmup < 20:
            raise ConfigError(f"warmup must be at least 20 where step_size is chosen in it, got {self.warmup}.")

    @property
    def exact(self) -> bool:
        """Whether the method needs the loss itself."""
        return self.method in EXACT

    def described(self) -> dict[str, Any]:
        """The settings as attributes of a result: plain numbers and words."""
        chosen = "chosen" if self.step_size is None else float(self.step_size)
        numbers = {"nbeta": float(self.nbeta), "gamma": float(self.gamma), "step_size": chosen}
        counts = {
            name: int(getattr(self, name)) for name in ("chains", "draws", "warmup", "steps", "batch_size", "seed")
        }
        if self.exact:
            del counts["batch_size"]
        return {"method": self.method, **numbers, **counts}
