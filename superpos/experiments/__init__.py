"""One module per published figure: what to train (`build`), what to measure, what to claim, and what to draw.

The scripts in `figures/` and `sweeps/`, `superpos demo` and `superpos phase` all train what `build` says. A module has
a frozen dataclass `Size` and `SIZES`, the quick, the laptop and the full one; `choose` picks one. `Claims` and `publish`
are what every experiment ends with.
"""

from superpos.experiments.claims import Claim as Claim
from superpos.experiments.claims import Claims as Claims
from superpos.experiments.publishing import Published as Published
from superpos.experiments.publishing import Width as Width
from superpos.experiments.publishing import publish as publish
from superpos.experiments.sizes import Sizes as Sizes
from superpos.experiments.sizes import choose as choose
from superpos.experiments.sizes import size_suffix as size_suffix
