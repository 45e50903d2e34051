"""Devices that are not here, only described to the compiler: an NVIDIA H100 and a TPU v5e."""

import glob
import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def devices(platform: str) -> list[Any]:
    """One H100, or the four chips of a TPU v5e.

    Raises:
        ImportError: the extra `aot` is not installed.
    """
    if platform == "tpu":
        return _tpu()
    return _gpu()


def _tpu() -> list[Any]:
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "true")  # nothing is run, so nothing need be locked
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "true")  # no machine of a cloud is to be asked what it is
    import libtpu  # noqa: F401
    from jax.experimental import topologies

    return list(topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices)


def _gpu() -> list[Any]:
    import jax_plugins.xla_cuda12 as plugin
    from jax._src import xla_bridge  # JAX has no public door to a description of a GPU

    (library,) = glob.glob(os.path.join(os.path.dirname(str(plugin.__file__)), "*.so"))
    xla_bridge.register_plugin("cuda", priority=500, library_path=library)
    card = (HERE / "h100.pbtxt").read_text()
    topology = xla_bridge.make_pjrt_topology("cuda", "h100", topology="1x1x1", target_config=card)
    return list(topology._make_compile_only_devices())
