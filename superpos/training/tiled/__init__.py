"""A step in four kernels: of toy models on samples that are too large for the registers of one (`superpos.training.fused`).

One kernel draws for all models of a block. One computes loss and gradient, of which a program has a model and a part of
the batch, in tiles of features (`gradient`). One moves the weights of a model (`kernel`). The fourth counts steps.
`cut` says how large tiles are. Draws, step and refusals are those of the fused kernel.
"""
