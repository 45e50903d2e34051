"""What mathematics says: exact losses and known shapes."""

from superpos.theory.arrangement import arrangement as arrangement
from superpos.theory.attacks import analytic_attack as analytic_attack
from superpos.theory.attacks import linear_vulnerability as linear_vulnerability
from superpos.theory.boolean import LinearControl as LinearControl
from superpos.theory.boolean import boolean_baseline as boolean_baseline
from superpos.theory.boolean import linear_control as linear_control
from superpos.theory.branches import Branch as Branch
from superpos.theory.branches import crossings as crossings
from superpos.theory.branches import follow as follow
from superpos.theory.expected_loss import expected_loss as expected_loss
from superpos.theory.linear import linear_loss as linear_loss
from superpos.theory.linear import optimal_linear_loss as optimal_linear_loss
from superpos.theory.naive import NaiveBaseline as NaiveBaseline
from superpos.theory.naive import naive_baseline as naive_baseline
from superpos.theory.optimum import Minimum as Minimum
from superpos.theory.optimum import minimise as minimise
from superpos.theory.penalty import vanishing_penalty as vanishing_penalty
from superpos.theory.phases import boundaries as boundaries
from superpos.theory.phases import candidate_losses as candidate_losses
from superpos.theory.phases import candidates as candidates
from superpos.theory.phases import optimum as optimum
from superpos.theory.polish import polish as polish
from superpos.theory.polytopes import KnownShape as KnownShape
from superpos.theory.polytopes import known_shapes as known_shapes
from superpos.theory.series import chosen_order as chosen_order
