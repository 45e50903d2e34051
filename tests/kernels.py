"""Jupyter kernels that start fast: copies of one process that has imported what every notebook imports, and run nothing yet.

    python -P tests/kernels.py    # serves one kernel after another: an order a line on its input, a process id and a status out

A copy has the namespace of a new kernel. Of superpos only what `import superpos` loads is there, so that what a notebook
imports, or forgets to, counts as it does for a reader. Programs that run once are compiled without optimisation, those that
train as `quick_flags` say; in the notebooks on geometry and on induction heads that saves a sixth of the time.
"""

import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROUND = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "flax.nnx",
    "matplotlib.pyplot",
    "optax",
    "scipy.stats",
    "xarray",
    "zarr",
)
RUN_ONCE = ("jit__start", "jit__finish")  # in a sweep; what they compile to runs once for every block


def _compile_quickly_what_runs_once() -> None:
    from jax._src import compiler

    compile_or_load = compiler.compile_or_get_cached

    def quickly(backend: Any, program: Any, devices: Any, options: Any, *others: Any, **named: Any) -> Any:
        if program.operation.attributes["sym_name"].value in RUN_ONCE:
            options.env_option_overrides = [*options.env_option_overrides, ("xla_backend_optimization_level", 0)]
        return compile_or_load(backend, program, devices, options, *others, **named)

    compiler.compile_or_get_cached = quickly


def _become_kernel(command: list[str], environment: dict[str, str], folder: str) -> None:
    """What `python -m ipykernel_launcher -f …` does, in this process."""
    from ipykernel.kernelapp import IPKernelApp

    os.environ.clear()
    os.environ.update(environment | {"JPY_PARENT_PID": str(os.getppid())})
    os.chdir(folder)
    sys.argv = ["ipykernel_launcher", *command[command.index("-f") :]]
    IPKernelApp.launch_instance()


def serve() -> None:
    """Fork a kernel for every order; what it imported beforehand has neither started threads nor chosen a device."""
    import gc

    import superpos  # noqa: F401

    for name in ROUND:
        importlib.import_module(name)
    from jax._src import xla_bridge

    assert not xla_bridge.backends_are_initialized()
    _compile_quickly_what_runs_once()
    runpy.run_path(str(Path(__file__).with_name("mlir_contexts.py")))["few_contexts"]()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        if not (process := os.fork()):
            os.setsid()  # signals to the kernel's group must reach nothing else
            print(os.getpid(), flush=True)
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1):
                os.dup2(quiet, stream)
            _become_kernel(**json.loads(line))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


class _Forked:
    """As much of a `subprocess.Popen` as jupyter_client asks of a kernel."""

    stdin = stdout = stderr = None

    def __init__(self, server: "subprocess.Popen[bytes]"):
        self.says, self.returncode = server.stdout, None
        self.pid = int(self._line())

    def _line(self) -> bytes:
        return self.says.readline() or b"-9"  # of a server that is gone

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self.says], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = int(self._line())
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Server:
    """Starts kernels in the place of jupyter_client's `launch_kernel`, one at a time."""

    def __init__(self):
        environment = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "XLA_FLAGS")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what `select` does not see must not lie in a buffer
            env=environment | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        )

    def launch_kernel(self, command: list[str], *, env: dict[str, str], cwd: str, **others: Any) -> _Forked:
        self.process.stdin.write((json.dumps({"command": command, "environment": env, "folder": cwd}) + "\n").encode())
        return _Forked(self.process)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    serve()
