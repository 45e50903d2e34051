"""What papers say, as checks of trained models: one module per figure, each filling a `Claims` from results."""

from superpos.claims.base import Claim as Claim
from superpos.claims.base import Claims as Claims
