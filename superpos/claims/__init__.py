"""What papers say, as checks of trained models: one module per figure, each filling a `Claims` from results."""

from superpos.experiments.claims import Claim as Claim
from superpos.experiments.claims import Claims as Claims
