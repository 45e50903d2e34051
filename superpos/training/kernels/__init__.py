"""What our own kernels for GPUs share: which trainings they can do (`rules`), how a kernel is called (`call`, `blocks`), what
passes between it and memory (`memory`, `powers`), the draws of all models of a seed (`draw`, `draws`), and what a step does
with loss and gradient (`step`). `superpos.training.fused` and `superpos.training.tiled` are the kernels.
"""
