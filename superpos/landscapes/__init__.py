"""The landscape of a loss: its minima, how wide their basins are, and how degenerate their floors."""

from superpos.landscapes.crossing import crossings_of as crossings_of
from superpos.landscapes.curvature import Curvature as Curvature
from superpos.landscapes.curvature import curvature_at as curvature_at
from superpos.landscapes.explore import landscape as landscape
from superpos.landscapes.free_energies import free_energy as free_energy
from superpos.landscapes.free_energies import preferred as preferred
from superpos.landscapes.free_energies import transition as transition
from superpos.landscapes.learning_coefficients import llc as llc
from superpos.landscapes.phase_tables import bayesian_phases as bayesian_phases
from superpos.landscapes.polygons import polygon_minima as polygon_minima
from superpos.landscapes.posterior import posterior_shares as posterior_shares
from superpos.landscapes.saddles import Saddle as Saddle
from superpos.landscapes.saddles import saddle_between as saddle_between
from superpos.landscapes.sampling import Sampling as Sampling
from superpos.landscapes.tangents import dead_features as dead_features
from superpos.landscapes.tangents import dead_tangents as dead_tangents
from superpos.landscapes.tangents import rotation_tangents as rotation_tangents
