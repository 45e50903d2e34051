"""Which random numbers are for what: tags that are folded into a key.

The data key of step t is `fold_in(key(seed), t)` and nothing else; other purposes fold in tags that no step can reach.
"""

INIT_TAG = 2**32 - 1
EVALUATION_TAG = 2**32 - 2
AFTER_STEP_TAG = 2**32 - 3  # folded into a step's key, beside what the data fold in
HIDDEN_NOISE_TAG = 2**32 - 4  # folded into a step's key: dropout and noise of the hidden layer, beside the batch
