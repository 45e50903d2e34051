"""What a model learned. Analysers are functions of arrays; they serve anybody's W."""

from superpos.analysis.adversarial import optimised_attack as optimised_attack
from superpos.analysis.adversarial import vulnerability as vulnerability
from superpos.analysis.dashboard import dashboard_data as dashboard_data
from superpos.analysis.dictionary import DictionaryScores as DictionaryScores
from superpos.analysis.dictionary import hidden_loss as hidden_loss
from superpos.analysis.dictionary import score_dictionary as score_dictionary
from superpos.analysis.features import angle_gaps as angle_gaps
from superpos.analysis.features import d_star as d_star
from superpos.analysis.features import feature_capacity as feature_capacity
from superpos.analysis.features import feature_dimensionality as feature_dimensionality
from superpos.analysis.features import feature_norms as feature_norms
from superpos.analysis.features import frame_defect as frame_defect
from superpos.analysis.features import interference as interference
from superpos.analysis.features import packing as packing
from superpos.analysis.features import polysemanticity as polysemanticity
from superpos.analysis.features import represented as represented
from superpos.analysis.geometry import Component as Component
from superpos.analysis.geometry import Geometry as Geometry
from superpos.analysis.geometry import geometry as geometry
from superpos.analysis.neurons import features_per_neuron as features_per_neuron
from superpos.analysis.neurons import neuron_has_feature as neuron_has_feature
from superpos.analysis.neurons import neuron_order as neuron_order
from superpos.analysis.phases import against_optimum as against_optimum
from superpos.analysis.phases import phase as phase
from superpos.analysis.phases import phase_table as phase_table
