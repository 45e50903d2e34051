"""One measurement, one process: no method inherits another's threads, memory or compiled programs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("versus_peers.py")
_missing_said: set[str] = set()


def measure(what: str, **arguments: Any) -> Any:
    """Run one measurement in a fresh process and return what it found; None, with a line on stderr, if it failed."""
    print(f"  … {what} {arguments.get('n', '')} {arguments.get('m', '')}".rstrip(), file=sys.stderr, flush=True)
    command = [sys.executable, str(SCRIPT), "--child", json.dumps({"what": what, **arguments})]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"versus_peers: {what} failed: {last}", file=sys.stderr)
        return None
    found = json.loads(lines[-1])
    if isinstance(found, dict) and "missing" in found:
        if found["missing"] not in _missing_said:  # once is enough
            _missing_said.add(found["missing"])
            print(f"versus_peers: {found['missing']} is not installed: pip install 'superpos[bench]'", file=sys.stderr)
        return None
    return found


def answer(request: str) -> None:
    """The other side of `measure`: do what the JSON text asks and print the result as one line of JSON."""
    arguments = json.loads(request)
    what = arguments.pop("what")
    try:
        found = _do(what, arguments)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        found = {"missing": "torch"}
    print(json.dumps(found), flush=True)


def _do(what: str, a: dict[str, Any]) -> Any:
    if what in ("pytorch", "pytorch checkpoints", "naive jax"):  # these processes never load superpos
        import peers

        if what == "naive jax":
            return peers.naive_rate(**a)
        return (peers.torch_rate if what == "pytorch" else peers.torch_checkpoints)(**a)
    import ours

    return {"throughput": ours.throughput, "ladder": ours.ladder, "peak": ours.matmul_peak}[what](**a)
