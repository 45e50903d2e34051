"""Pictures: labelled data in, axes out. Plot functions compute nothing, save nothing, and take `ax=None`."""

from superpos.plot.adversarial import superposition_by_attack_norm as superposition_by_attack_norm
from superpos.plot.adversarial import vulnerability_against_features as vulnerability_against_features
from superpos.plot.adversarial import vulnerability_by_density as vulnerability_by_density
from superpos.plot.features import feature_directions as feature_directions
from superpos.plot.features import feature_norms as feature_norms
from superpos.plot.features import gram as gram
from superpos.plot.gallery import publish as publish
from superpos.plot.gallery import size_suffix as size_suffix
from superpos.plot.penalty import hidden_weights as hidden_weights
from superpos.plot.penalty import loss_by_penalty as loss_by_penalty
from superpos.plot.penalty import regime_map as regime_map
from superpos.plot.penalty import represented_by_penalty as represented_by_penalty
from superpos.plot.phases import basin_map as basin_map
from superpos.plot.phases import excess_map as excess_map
from superpos.plot.phases import phase_keys as phase_keys
from superpos.plot.phases import phase_map as phase_map
from superpos.plot.style import PALETTE as PALETTE
from superpos.plot.style import caption as caption
from superpos.plot.style import save as save
from superpos.plot.style import shape_color as shape_color
from superpos.plot.style import style as style
from superpos.plot.sweeps import d_star as d_star
from superpos.plot.sweeps import dimensionality as dimensionality
from superpos.plot.sweeps import directions_by_density as directions_by_density
from superpos.plot.sweeps import loss_history as loss_history
from superpos.plot.sweeps import shape_shares as shape_shares
