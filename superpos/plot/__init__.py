"""Pictures: labelled data in, axes out. Plot functions compute nothing, save nothing, and take `ax=None`."""

from inspect import isfunction as _isfunction

import superpos.cache  # first, for its words with Matplotlib
from superpos.plot.animation import directions_animation as directions_animation
from superpos.plot.appearance import caption as caption
from superpos.plot.appearance import save as save
from superpos.plot.appearance import style as style
from superpos.plot.appearance import use_style as use_style
from superpos.plot.circuits import ablations as ablations
from superpos.plot.circuits import circuit as circuit
from superpos.plot.circuits import circuit_keys as circuit_keys
from superpos.plot.compressed import loss_over_naive as loss_over_naive
from superpos.plot.compressed import responses as responses
from superpos.plot.door import guarded as _guarded
from superpos.plot.dynamics import dimensionality_levels as dimensionality_levels
from superpos.plot.dynamics import logistic_growth as logistic_growth
from superpos.plot.dynamics import loss_steps as loss_steps
from superpos.plot.features import feature_directions as feature_directions
from superpos.plot.features import feature_directions_3d as feature_directions_3d
from superpos.plot.features import feature_norms as feature_norms
from superpos.plot.features import gram as gram
from superpos.plot.features import set_colors as set_colors
from superpos.plot.grokking import embedding_circle as embedding_circle
from superpos.plot.grokking import progress_curves as progress_curves
from superpos.plot.markup import html as html
from superpos.plot.neurons import neuron_keys as neuron_keys
from superpos.plot.neurons import participation as participation
from superpos.plot.neurons import stacked_weights as stacked_weights
from superpos.plot.overviews import overview as overview
from superpos.plot.phases import basin_map as basin_map
from superpos.plot.phases import excess_map as excess_map
from superpos.plot.phases import phase_keys as phase_keys
from superpos.plot.phases import phase_map as phase_map
from superpos.plot.recovery import recovered_directions as recovered_directions
from superpos.plot.recovery import recovered_directions_3d as recovered_directions_3d
from superpos.plot.shape_colors import PALETTE as PALETTE
from superpos.plot.shape_colors import shape_color as shape_color
from superpos.plot.shape_colors import shape_look as shape_look
from superpos.plot.solution_branches import branches as branches
from superpos.plot.solution_branches import hysteresis as hysteresis
from superpos.plot.sweeps import d_star as d_star
from superpos.plot.sweeps import dimensionality as dimensionality
from superpos.plot.sweeps import directions_by_density as directions_by_density
from superpos.plot.sweeps import loss_history as loss_history
from superpos.plot.sweeps import shape_shares as shape_shares
from superpos.plot.transformers import accuracy_by_period as accuracy_by_period
from superpos.plot.transformers import attention_pattern as attention_pattern
from superpos.plot.transformers import repeat_loss_by_step as repeat_loss_by_step
from superpos.plot.transformers import scores_by_step as scores_by_step

# Functions that draw data stand behind one door; inside this package they call each other without it.
_WITHOUT_DATA = ("html", "save", "style", "use_style")
for _name, _function in list(globals().items()):
    if _isfunction(_function) and not _name.startswith("_") and _name not in _WITHOUT_DATA:
        globals()[_name] = _guarded(_function)
