"""Networks with no batch-of-models axis anywhere: flax nnx modules, used as plain pytrees."""

from superpos.models.activations import register_activation as register_activation
from superpos.models.boolean import BooleanModel as BooleanModel
from superpos.models.computation import ComputationModel as ComputationModel
from superpos.models.decoder_mlp import DecoderMLP as DecoderMLP
from superpos.models.decomposed_transformer import DecomposedTransformer as DecomposedTransformer
from superpos.models.decomposition import Decomposition as Decomposition
from superpos.models.deep_pairs import DeepPairModel as DeepPairModel
from superpos.models.interventions import ablate as ablate
from superpos.models.mixed import MixedModel as MixedModel
from superpos.models.pair_mlp import PairMLP as PairMLP
from superpos.models.pairs import PairModel as PairModel
from superpos.models.residual_mlp import ResidualMLP as ResidualMLP
from superpos.models.sae import SAE as SAE
from superpos.models.sae import Architecture as Architecture
from superpos.models.sae import Crosscoder as Crosscoder
from superpos.models.sae import LatentParameter as LatentParameter
from superpos.models.sae import TrainingLatents as TrainingLatents
from superpos.models.sae import Transcoder as Transcoder
from superpos.models.sae import register_architecture as register_architecture
from superpos.models.toy import ToyModel as ToyModel
from superpos.models.transformer import Transformer as Transformer
from superpos.models.vector_transformer import VectorTransformer as VectorTransformer
