"""Sparse autoencoders: the module that all share, and one file per architecture."""

# Messages name architectures in the order of these imports.
# isort: off
from superpos.models.sae.base import Architecture as Architecture
from superpos.models.sae.base import LatentParameter as LatentParameter
from superpos.models.sae.base import PreActivations as PreActivations
from superpos.models.sae.base import TrainingLatents as TrainingLatents
from superpos.models.sae.registry import ARCHITECTURES as ARCHITECTURES
from superpos.models.sae.registry import architecture_of as architecture_of
from superpos.models.sae.registry import register_architecture as register_architecture
from superpos.models.sae.relu import ReLU as ReLU
from superpos.models.sae.topk import TopK as TopK
from superpos.models.sae.batch_topk import BatchTopK as BatchTopK
from superpos.models.sae.gated import Gated as Gated
from superpos.models.sae.jumprelu import JumpReLU as JumpReLU
from superpos.models.sae.matryoshka import Matryoshka as Matryoshka
from superpos.models.sae.matching_pursuit import MatchingPursuit as MatchingPursuit
from superpos.models.sae.autoencoder import MIN_NORM as MIN_NORM
from superpos.models.sae.autoencoder import SAE as SAE
from superpos.models.sae.crosscoder import Crosscoder as Crosscoder
from superpos.models.sae.transcoder import Transcoder as Transcoder
