"""A training in one kernel: draws, steps, freezing and the sums of the record, of small toy models on samples.

A program of the kernel trains a few models of one seed from one point of the record to the next. Nothing of a step leaves
it: inputs are drawn inside, by the same bits as everywhere (`draws`), the gradient is written out by hand (`gradient`),
the optimiser is the one of `superpos.optimizers` (`step`). `rules` says which trainings it can do. The tiled kernels
(`superpos.training.tiled`) share `draws`, `step`, `rules` and how models of a block become programs (`blocks`, `memory`).
"""
