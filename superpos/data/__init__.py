"""Data: sparse features, how often each occurs, how they depend on one another, and tables and sequences of tokens."""

from superpos.data.benchmark_world import BenchmarkWorld as BenchmarkWorld
from superpos.data.benchmark_world import frequencies_in_trees as frequencies_in_trees
from superpos.data.benchmark_world import synthsaebench as synthsaebench
from superpos.data.directions import random_directions as random_directions
from superpos.data.directions import random_subspaces as random_subspaces
from superpos.data.directions import spread_directions as spread_directions
from superpos.data.distribution import FeatureDistribution as FeatureDistribution
from superpos.data.distribution import Sets as Sets
from superpos.data.distribution import unit_uniform as unit_uniform
from superpos.data.exclusive import one_active as one_active
from superpos.data.frequencies import MAX_FEATURES as MAX_FEATURES
from superpos.data.frequencies import geometric_probabilities as geometric_probabilities
from superpos.data.frequencies import zipf_between as zipf_between
from superpos.data.frequencies import zipf_probabilities as zipf_probabilities
from superpos.data.magnitudes import MAGNITUDE_MOMENTS as MAGNITUDE_MOMENTS
from superpos.data.magnitudes import MAGNITUDES as MAGNITUDES
from superpos.data.modular import modular_table as modular_table
from superpos.data.sequences import repeated_tokens as repeated_tokens
