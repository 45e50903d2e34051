"""A step in a few kernels: of toy models on samples that are too large for the registers of one (`superpos.training.fused`).

One kernel draws for all models of a block. One computes loss and gradient; a program has a model and a part of
the batch, and goes through the features in tiles (`gradient`). One moves the weights of a model (`move`). `cut` says how
large tiles are. `superpos.training.kernels` has what is shared with the fused kernel.
"""
