"""What is trained: a model, its data and its loss."""

from superpos.tasks.adversarial import AdversarialToy as AdversarialToy
from superpos.tasks.base import Task as Task
from superpos.tasks.boolean import BooleanPairs as BooleanPairs
from superpos.tasks.computation import Computation as Computation
from superpos.tasks.double_descent import DoubleDescent as DoubleDescent
from superpos.tasks.induction import RepeatedTokens as RepeatedTokens
from superpos.tasks.modular_addition import ModularAddition as ModularAddition
from superpos.tasks.residual_mlp import ResidualMLP as ResidualMLP
from superpos.tasks.sae import SparseAutoencoder as SparseAutoencoder
from superpos.tasks.toy import Toy as Toy

# Tasks by the name that sweep files and results use.
REGISTRY: dict[str, type] = {
    "toy": Toy,
    "adversarial_toy": AdversarialToy,
    "computation": Computation,
    "double_descent": DoubleDescent,
    "residual_mlp": ResidualMLP,
    "boolean_pairs": BooleanPairs,
    "sparse_autoencoder": SparseAutoencoder,
    "modular_addition": ModularAddition,
    "repeated_tokens": RepeatedTokens,
}
