"""What the operators' pages have one type works on what the chart installs, as the real kubectl and Helm see it.

Each line runs in a shell; a command inside a pod is read by the connector's own command line, with all its options.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from tests.monitoring.cluster import Object
from tests.monitoring.operators_shell import NAME, Done, Shell, chosen, filled_in, opened, parse
from tests.rig.chart import ROOT
from tests.rig.pages import command_lines
from tests.rig.pod_security import RULES

_RUNBOOK, _DEPLOY, _IMAGE, _KAFKA, _KUBERNETES, _README, _CHART_README, _BATCH, _ACCESS, _COVERAGE, _PAGE = (
    (ROOT / path).read_text(encoding="utf-8")
    for path in (
        "docs/runbook.md",
        "docs/deploy.md",
        "docs/image.md",
        "docs/kafka.md",
        "docs/kubernetes.md",
        "README.md",
        "helm/README.md",
        "docs/batch.md",
        "docs/access.md",
        "docs/coverage.md",
        "docs/page.md",
    )
)
_TOOLS, *_BLOCKS = command_lines(_RUNBOOK)
_FORWARDING = [line for line in _TOOLS if line.endswith("&")]
[_NAMING] = [line for line in _TOOLS if line.startswith("export NAME=")]
_PRELUDE = "\n".join(
    f"export NAME={NAME}" if line == _NAMING else line for line in _TOOLS if re.match(r"export |\w+\(\) ", line)
)
_LINES = sorted({line for block in _BLOCKS for line in block})
_IN_CLUSTER = re.compile(r"(kubectl|helm) ")
_INSIDE = re.compile(r"(connector|verify) ")
_ENTRY_POINT = re.findall(
    r'^ENTRYPOINT \[.*"(\w+)"\]$', (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
)

_REACHED = {"tweet/1": "2026-03-14T09:26:53.000000Z", "user/4": "2026-03-14T09:26:58.589793Z"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Install the chart by the lines of docs/deploy.md, and upgrade it once, so that it can be rolled back."""
    with opened(tmp_path_factory.mktemp("operator")) as shell:
        [lines] = [block for block in command_lines(_DEPLOY) if any(line.startswith("helm install") for line in block)]
        for line in lines:
            if _IN_CLUSTER.match(line):
                _succeed(shell, line)
        _succeed(shell, f"helm upgrade {NAME} helm -f values.yaml")
        shell.keep()
        yield shell


@pytest.fixture
def shell(installed: Shell) -> Shell:
    """Give a shell on a cluster in which nothing was done since the installation, with the runbook's functions."""
    installed.restore()
    installed.prelude = _PRELUDE
    return installed


def _succeed(shell: Shell, line: str) -> Done:
    done = shell.run(line)
    assert done.code == 0, f"{line}\n{done.output}{done.errors}"
    return done


def test_tools_of_the_runbook_are_set_up(shell: Shell) -> None:
    """Every line of the first block works, and the list of pods has them all."""
    for line in _TOOLS:
        if line not in _FORWARDING:
            done = _succeed(shell, line)
            if line.startswith("kubectl get pods"):
                assert re.findall(r"^\S+", done.output, re.MULTILINE)[1:] == [f"{NAME}-0", f"{NAME}-1"]


def test_name_of_the_stateful_set_is_asked_of_the_cluster(shell: Shell) -> None:
    """Whatever overrides the release's name; the other lines have it as it is here."""
    assert _succeed(shell, f"{_NAMING}\necho $NAME").output.strip() == NAME


def test_port_that_is_forwarded_is_one_of_the_pod(shell: Shell) -> None:
    """It is the first pod, and the port that the container has."""
    [line] = _FORWARDING
    shell.run(line.removesuffix("&"))
    assert set(shell.cluster.forwarded) == {f"{NAME}-0"}
    [container] = shell.cluster.get("pods", f"{NAME}-0")["spec"]["containers"]
    assert shlex.split(line)[3] == str(container["ports"][0]["containerPort"])


@pytest.mark.parametrize("line", _LINES)
def test_command_of_the_runbook_works_on_what_the_chart_installs(shell: Shell, line: str) -> None:
    """Names, labels, containers and flags are right, and so is what runs in a pod."""
    done = _succeed(shell, line)
    if _INSIDE.match(line):
        [(container, command)] = _run_in_pods(shell)
        assert container == "connector"
        _check_connector(shell, command)
    if "| jq" in line or line.startswith("kubectl get pods"):
        assert done.output


def _run_in_pods(shell: Shell) -> list[tuple[str, list[str]]]:
    """Return the container and the command of all that was started, in pods that run and in pods that were made."""
    executed = [(each.container, list(each.command)) for each in shell.cluster.executed]
    return executed + [
        (container["name"], container["command"])
        for pod in shell.cluster.created
        for container in pod["spec"]["containers"]
    ]


def _check_connector(shell: Shell, command: list[str]) -> None:
    """See that the image has the program, that it takes the arguments, and that the pod has the file of settings."""
    program, *arguments = command
    assert [program] == _ENTRY_POINT
    options = parse(arguments)
    assert not {"--yes", "--dry-run"} <= options or {"--yes", "--dry-run"} & set(arguments), "asks, and has no terminal"
    [container] = shell.cluster.get("pods", f"{NAME}-0")["spec"]["containers"]
    [config] = [argument for argument in arguments if argument.startswith("--config=")]
    assert config in container["args"]


def test_copy_of_a_pod_is_admitted_and_goes_again(shell: Shell) -> None:
    """The one that `verify` makes is admitted where `restricted` is enforced, takes no traffic, and goes again.

    It keeps the annotations, by which a volume may be filled.
    """
    original = shell.cluster.get("pods", f"{NAME}-0")
    _succeed(shell, "verify --from=1h")
    [copied] = shell.cluster.created
    assert [rule.__name__ for rule in RULES if not rule(copied)] == []
    assert "labels" not in copied["metadata"]
    assert copied["metadata"]["annotations"] == original["metadata"]["annotations"]
    assert ("pods", copied["metadata"]["name"]) not in shell.cluster.objects


def test_exit_code_that_the_runbook_asks_for_is_the_services(shell: Shell) -> None:
    """Also where a sidecar stands before it."""
    for pod in _service_pods(shell):
        sidecar = {"name": "a-sidecar", "lastState": {"terminated": {"exitCode": 1}}}
        pod["status"]["containerStatuses"].insert(0, sidecar)
    [line] = [line for line in _LINES if "exitCode" in line]
    assert _succeed(shell, line).output.split() == [f"{NAME}-0", "78", f"{NAME}-1", "78"]


def _service_pods(shell: Shell) -> list[Object]:
    return [shell.cluster.get("pods", f"{NAME}-{ordinal}") for ordinal in range(2)]


def test_number_of_replicas_is_changed_as_the_runbook_says(shell: Shell) -> None:
    """By Helm, which keeps the other values."""
    [line] = [line for line in _LINES if line.startswith("helm upgrade")]
    _succeed(shell, line)
    assert shell.cluster.get("statefulsets", NAME)["spec"]["replicas"] == 4


@pytest.mark.parametrize("page", [_DEPLOY, _README, _CHART_README], ids=["deploy", "README", "chart's README"])
def test_installation_works_as_the_page_says(shell: Shell, page: str) -> None:
    """All its lines for kubectl and Helm, in their order, on a cluster with nothing in it."""
    shell.cluster.objects.clear()
    lines = [line for block in command_lines(page) for line in block if _IN_CLUSTER.match(line)]
    assert any(line.startswith("helm install") for line in lines)
    for line in lines:
        _succeed(shell, line)
    assert shell.cluster.get("statefulsets", NAME)["spec"]["replicas"] == 2


def test_rights_are_granted_by_options_that_kafka_has(shell: Shell) -> None:
    """Those of `kafka-acls.sh`."""
    [(function, *lines)] = [block for block in command_lines(_KAFKA) if block[0].startswith("acl()")]
    for line in lines:
        _succeed(shell, f"{function}\n{line}")


@pytest.mark.parametrize("block", command_lines(_KUBERNETES), ids=lambda block: block[0])
def test_block_of_the_kubernetes_page_works(shell: Shell, block: list[str]) -> None:
    """Its lines, in their order, on the cluster with the chart."""
    for line in block:
        _succeed(shell, line)
        for _, command in _run_in_pods(shell):
            _check_connector(shell, command)
        shell.cluster.executed.clear()


def test_gap_of_another_prefix_is_recorded_for_each_stream_partition(shell: Shell) -> None:
    """From what `connector status` prints, by the loop of the page."""
    [filtered] = [line for block in command_lines(_KUBERNETES) for line in block if line.startswith("connector status")]
    [loop] = [line for block in command_lines(_KUBERNETES) for line in block if line.startswith("while ")]
    states = [{"partition": name, "complete_until": until} for name, until in _REACHED.items()]
    status = shlex.quote(json.dumps({"partitions": [*states, {"partition": "like/1", "complete_until": None}]}))
    _succeed(shell, f"echo {status} | {filtered.partition(' | ')[2]}")
    _succeed(shell, loop)
    commands = [command for _, command in _run_in_pods(shell)]
    for command in commands:
        _check_connector(shell, command)
    assert [command[3:5] + command[6:7] for command in commands] == [
        [f"--stream={name[:-2]}", f"--partition={name[-1]}", f"--gap-from={until}"] for name, until in _REACHED.items()
    ]


def test_notes_of_the_installation_name_what_is_there(shell: Shell) -> None:
    """Every command that Helm prints, with batch runs switched on."""
    values = "--reuse-values --set batch.tweets.enabled=true"
    notes = _succeed(shell, f"helm upgrade {NAME} helm {values}").output
    lines = [line.strip() for line in notes.splitlines() if _IN_CLUSTER.match(line.strip())]
    assert len(lines) == 4
    for line in lines:
        if "port-forward" in line:
            shell.run(line)
            assert set(shell.cluster.forwarded) == {f"{NAME}-0"}
        else:
            _check_flags(shell, line)


def _spans(*pages: str) -> list[str]:
    """Return the commands within sentences."""
    text = "".join(re.sub(r"```.*?```", "", page, flags=re.DOTALL) for page in pages)
    spans = re.findall(r"`((?:kubectl|helm|connector) [^`]*)`", text)
    return sorted({" ".join(chosen(span).split()) for span in spans})


@pytest.mark.parametrize("line", [line for line in _LINES if line.startswith("curl ")])
def test_what_is_asked_of_the_status_is_in_it(shell: Shell, line: str) -> None:
    """The stream partition is one, and jq names members that it has."""
    asked, whole = (_succeed(shell, text).output for text in (line, "curl"))
    assert json.loads(asked).keys() <= json.loads(whole)["partitions"]["tweet/1"].keys()


_CONNECTOR_PAGES = (_RUNBOOK, _DEPLOY, _IMAGE, _KAFKA, _KUBERNETES, _README, _BATCH, _ACCESS, _COVERAGE, _PAGE)
_PROSE = _spans(*_CONNECTOR_PAGES, _CHART_README)


@pytest.mark.parametrize("line", [line for line in _PROSE if _IN_CLUSTER.match(line)])
def test_command_within_a_sentence_has_flags_that_there_are(shell: Shell, line: str) -> None:
    """A sentence may leave out arguments, and name what a reader fills in."""
    _check_flags(shell, line)


def _check_flags(shell: Shell, line: str) -> None:
    done = shell.run(line)
    assert not re.search(r"unknown (flag|shorthand|command)|flag needs|invalid argument", done.errors), done.errors


_CONNECTOR = sorted(
    {
        re.split(r" [|>&] ?", line)[0]
        for page in _CONNECTOR_PAGES
        for block in command_lines(page)
        for line in block
        if line.startswith("connector ")
    }.union(line for line in _PROSE if line.startswith("connector "))
)


@pytest.mark.parametrize("line", _CONNECTOR)
def test_connector_takes_the_command(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the values of all its options; a sentence may leave out arguments."""
    monkeypatch.chdir(tmp_path)
    for name in ("ids.txt", "export.csv", "FILE"):
        Path(name).touch()
    try:
        parse(shlex.split(filled_in(line))[1:])
    except TyperException as error:
        assert re.search("missing |requires an argument", str(error), re.IGNORECASE), error  # noqa: PT017 - what else it says is the failure
