"""Chips by their makers' data sheets. Nothing here was measured by us.

Bandwidth, peak and memory: NVIDIA [A100](https://www.nvidia.com/en-us/data-center/a100/) (SXM, 80 GB),
[H100](https://www.nvidia.com/en-us/data-center/h100/) (SXM) and [H200](https://www.nvidia.com/en-us/data-center/h200/)
(SXM), float32 without tensor cores; Google [TPU v5e](https://cloud.google.com/tpu/docs/v5e), of whose 197 TFLOP/s in
bfloat16 a float32 product leaves a sixth, since it is put together from six of them.

No data sheet states the rest. A multiplication with an addition counts as two operations in a peak, so elsewhere half of
it is left. 3 µs from one kernel to the next on a GPU, and 1 µs on a TPU, whose kernels are not launched by the host, are
assumptions, as is the TPU's rate outside of matrix products (8 × 128 lanes × 4 units at 1.5 GHz).
"""

from superpos.chips.model import Chip

_SHEET = "its data sheet; the time between kernels is an assumption"

KNOWN = {
    chip.name: chip
    for chip in (
        Chip("H100", launch=3e-6, bandwidth=3.35e12, matrix_peak=67e12, vector_peak=33e12, memory=80e9, source=_SHEET),
        Chip("H200", launch=3e-6, bandwidth=4.8e12, matrix_peak=67e12, vector_peak=33e12, memory=141e9, source=_SHEET),
        Chip(
            "A100", launch=3e-6, bandwidth=2.04e12, matrix_peak=19.5e12, vector_peak=9.7e12, memory=80e9, source=_SHEET
        ),
        Chip(
            "TPU v5e", launch=1e-6, bandwidth=8.19e11, matrix_peak=3.3e13, vector_peak=6e12, memory=16e9, source=_SHEET
        ),
    )
}

# One core of an AMD EPYC, measured as `superpos.chips.measured` does.
CPU = Chip(
    "CPU",
    launch=6e-7,
    bandwidth=1e11,
    matrix_peak=2.1e11,
    vector_peak=2.4e10,
    memory=8e9,
    source="a CPU that we measured",
)


def chip_of(platform: str, kind: str = "") -> Chip:
    """The chip that JAX calls `kind`. One that is unknown is taken for a CPU, an H100 or a TPU v5e, by its platform.

    What it says never depends on a measurement: block sizes are chosen by it, and bits depend on them.
    """
    if platform == "cpu":
        return CPU
    if platform == "tpu":
        return KNOWN["TPU v5e"]
    return next((chip for name, chip in KNOWN.items() if name in kind), KNOWN["H100"])
