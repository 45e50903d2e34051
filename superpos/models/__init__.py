"""Networks with no batch-of-models axis anywhere: flax nnx modules, used as plain pytrees."""

from superpos.models.computation import ComputationModel as ComputationModel
from superpos.models.sae import SAE as SAE
from superpos.models.toy import ToyModel as ToyModel
from superpos.models.transformer import Transformer as Transformer
from superpos.models.transformer import ablate as ablate
