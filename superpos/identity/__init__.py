"""What code and data are, as a digest: what cached tables and results of tasks of one's own depend on."""

from superpos.identity.code import Identity as Identity
from superpos.identity.code import identity_of as identity_of
from superpos.identity.sources import digest_of_modules as digest_of_modules
from superpos.identity.tasks import code_difference as code_difference
from superpos.identity.tasks import code_of as code_of
from superpos.identity.tasks import code_token as code_token
