"""What mathematics says: exact losses and known shapes."""

from superpos.theory.expected_loss import expected_loss as expected_loss
from superpos.theory.linear import linear_loss as linear_loss
from superpos.theory.linear import optimal_linear_loss as optimal_linear_loss
from superpos.theory.polytopes import KnownShape as KnownShape
from superpos.theory.polytopes import known_shapes as known_shapes
