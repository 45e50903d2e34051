"""A training in one kernel: steps, freezing and the sums of the record, of small toy models on samples.

A program of the kernel trains one model from one point of the record to the next. No weight of a step leaves it: the
gradient is written out by hand (`gradient`), the optimiser is the one of `superpos.optimizers`. A kernel before it draws
what the inputs of these steps are made of, by the same bits as everywhere, once for all models of a seed.
"""
