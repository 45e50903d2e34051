"""What is trained: a model, its data and its loss."""

from superpos.tasks.adversarial import AdversarialToy as AdversarialToy
from superpos.tasks.base import Task as Task
from superpos.tasks.boolean import BooleanPairs as BooleanPairs
from superpos.tasks.computation import Computation as Computation
from superpos.tasks.crosscoder import Crosscoder as Crosscoder
from superpos.tasks.deep_pairs import DeepPairs as DeepPairs
from superpos.tasks.double_descent import DoubleDescent as DoubleDescent
from superpos.tasks.feature_decoder import FeatureDecoder as FeatureDecoder
from superpos.tasks.induction import RepeatedTokens as RepeatedTokens
from superpos.tasks.list_function import ListFunction as ListFunction
from superpos.tasks.mixed_computation import MixedComputation as MixedComputation
from superpos.tasks.modular_addition import ModularAddition as ModularAddition
from superpos.tasks.modular_mlp import ModularMLP as ModularMLP
from superpos.tasks.noisy_toy import NoisyToy as NoisyToy
from superpos.tasks.one_hot_classifier import OneHotClassifier as OneHotClassifier
from superpos.tasks.one_hot_toy import OneHotToy as OneHotToy
from superpos.tasks.pair_computation import PairComputation as PairComputation
from superpos.tasks.parameter_decomposition import ParameterDecomposition as ParameterDecomposition
from superpos.tasks.registry import REGISTRY as REGISTRY
from superpos.tasks.registry import register as register
from superpos.tasks.residual_mlp import ResidualMLP as ResidualMLP
from superpos.tasks.sae import SparseAutoencoder as SparseAutoencoder
from superpos.tasks.skip_trigrams import SkipTrigrams as SkipTrigrams
from superpos.tasks.toy import Toy as Toy
from superpos.tasks.transcoder import Transcoder as Transcoder
from superpos.tasks.world_toy import WorldToy as WorldToy
