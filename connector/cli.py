"""The command line: arguments in, exit code out. Data goes to stdout, logs and errors to stderr.

Commands import what they need when they are called, so that each starts fast and none needs another's extra.
"""

import gc
import json
import os
import resource
import signal
import sys
from typing import Annotated, Literal, NoReturn

import typer

from connector import __version__
from connector.batch.cli import batch
from connector.configuration import risks
from connector.console import ConfigFile, configure, say, say_error
from connector.errors import ConnectorError, MissingExtraError, SettingsError
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import BY_NAME, STREAM_PARTITIONS, StreamPartition
from connector.events.times import format_us
from connector.settings import HttpSettings, LogSettings, RunSettings, Settings, variable_name
from connector.terminal import traceback_lines

_CLICK_USAGE_ERROR = 2
_INTERRUPTED = 130
_TERMINATED = 143
_SWITCH_INTERVAL_S = 0.002
"""How long a busy thread may keep the interpreter: an HTTP answer asks for it several times, after a few others."""

app = typer.Typer(
    name="connector",
    help="Reads X's compliance streams and publishes every event to Kafka, Avro-encoded and exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def main() -> NoReturn:
    """Run the command line and exit with its exit code."""
    _keep_secrets_in_memory()
    signal.signal(signal.SIGTERM, _leave)
    try:
        app()
        sys.exit(os.EX_OK)
    except SystemExit as leaving:
        sys.exit(os.EX_USAGE if leaving.code == _CLICK_USAGE_ERROR else leaving.code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except ConnectorError as error:
        sys.exit(_tell(error))
    except Exception as error:  # noqa: BLE001 - Python would show it with its words as they are, which may be anyone's
        say(*traceback_lines(error), err=True)
        sys.exit(1)


def _keep_secrets_in_memory() -> None:
    """Dump no memory on a crash, and write no TLS keys: Python and libcurl write them where `SSLKEYLOGFILE` says."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.pop("SSLKEYLOGFILE", None)


def _tell(error: ConnectorError) -> int:
    """Say what is wrong, and return the exit code."""
    say_error("connector", error, err=True)
    return error.exit_code


def _end_at_once(code: int) -> NoReturn:
    """End the process as it is.

    A transaction that Kafka does not answer keeps its thread in librdkafka beyond the time that a stop may take; Python
    would take the interpreter apart around it, which ends in SIGABRT or SIGSEGV now and then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _leave(*_: object) -> NoReturn:
    """End on SIGTERM, which the kernel drops for a container's first process unless it has a handler (signal(7))."""
    raise SystemExit(_TERMINATED)


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(config: ConfigFile = None) -> None:
    """Run the service until SIGTERM or SIGINT.

    Exit codes: 0 stopped; 64 an option or argument is wrong; 69 Kafka or the registry did not answer before the start
    deadline, or the membership of the consumer group failed for good; 70 the ledger cannot be trusted, or a thread
    hangs; 78 settings are wrong, or topics, subjects or rights are missing; 130 and 143 SIGINT or SIGTERM before it
    ran, or a second time while it stopped.
    """
    from connector.app import Service, stopping_on_signals  # noqa: PLC0415 - see the module's docstring

    settings = configure(RunSettings, config)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # A batch holds many thousands of records, none in a cycle: with Python's own thresholds (700, 10, 10) the
    # collector goes through them again and again and finds nothing.
    gc.set_threshold(10_000, 100, 100)
    try:
        with stopping_on_signals() as stop:
            Service(settings).run(stop)
    except ConnectorError as error:
        _end_at_once(_tell(error))
    _end_at_once(os.EX_OK)


@app.command()
def provision(
    *,
    config: ConfigFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be created, and create nothing.")
    ] = False,
    output: Annotated[
        Literal["json", "strimzi"] | None,
        typer.Option("--output", help="Print the topics for GitOps instead, without connecting to Kafka."),
    ] = None,
    strimzi_cluster: Annotated[
        str, typer.Option("--strimzi-cluster", help="Name of the Strimzi Kafka cluster, for --output strimzi.")
    ] = "kafka",
) -> None:
    """Create missing topics and subjects; safe to run again.

    Compatibility levels of the subjects are set too. A topic that exists and differs from the settings is reported and
    left alone; the exit code is then 78.
    """
    from connector.kafka.cluster import Cluster  # noqa: PLC0415 - see the module's docstring
    from connector.kafka.registry import RegistryClient  # noqa: PLC0415 - see the module's docstring
    from connector.operations import manifests  # noqa: PLC0415 - see the module's docstring
    from connector.operations.provision import provision as make  # noqa: PLC0415 - see the module's docstring

    settings = configure(Settings, config)
    if output == "json":
        say(*manifests.as_json(settings.kafka).splitlines())
    elif output == "strimzi":
        say(*manifests.as_strimzi(settings.kafka, strimzi_cluster).splitlines())
    else:
        with RegistryClient(settings.schema_registry) as registry:
            plan = make(settings.kafka, Cluster(settings.kafka), registry, dry_run=dry_run)
        for change in plan.changes:
            say(f"{'would ' if dry_run else ''}{change}")
        for difference in plan.differences:
            say(str(difference), err=True)
        if not plan.changes and not plan.differences:
            say("nothing to do")
        raise typer.Exit(plan.exit_code)


@app.command()
def check(
    *,
    config: ConfigFile = None,
    online: Annotated[
        bool, typer.Option("--online", help="Also check Kafka, the registry and X; disturbs no connection.")
    ] = False,
) -> None:
    """Check the settings; with --online, everything that `run` needs.

    That is Kafka, the registry, topics, subjects, and for each stream whether X accepts the token. Warns where a secret
    crosses the network unencrypted. Exit codes: 0 all is well; 69 something does not answer; 78 something must be
    corrected.
    """
    from connector.kafka.clients import try_properties  # noqa: PLC0415 - see the module's docstring
    from connector.x.auth import try_secrets  # noqa: PLC0415 - see the module's docstring
    from connector.x.client import try_client  # noqa: PLC0415 - see the module's docstring

    settings = configure(RunSettings, config)
    try_secrets(settings.x)
    try_client(settings.x)
    try_properties(settings.kafka, settings.pipeline.session_timeout_ms)
    say(*(f"warning: {risk}" for risk in risks(settings)), "ok: settings")
    if not online:
        return
    from connector.app import online_checks  # noqa: PLC0415 - see the module's docstring

    failures = []
    for name, do_check in online_checks(settings):
        try:
            say(f"ok: {name}: {do_check()}")
        except ConnectorError as error:
            say_error(f"failed: {name}", error)
            failures.append(error)
    if failures:
        raise typer.Exit(failures[0].exit_code)


@app.command()
def health(
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Also ask whether it is ready.")] = False,
    host: Annotated[str, typer.Option(help="Where the service runs.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar=variable_name(("http", "port")), min=1, max=65535, help="Its HTTP port.")
    ] = HttpSettings.model_fields["port"].default,
) -> None:
    """Ask a running service whether it is alive.

    For a container's health check. Exit codes: 0 it is; 69 it is not, or does not answer.
    """
    from connector.telemetry.http import ask  # noqa: PLC0415 - see the module's docstring

    for path in ("/livez", "/readyz") if ready else ("/livez",):
        say(f"{path}: {ask(host, port, path)}")


@app.command()
def tail(
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EVENT]...", help="Event types, such as tweet.delete; default: all. Also batch.tweet, batch.user."
        ),
    ] = None,
    *,
    config: ConfigFile = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest record instead of the next one.")
    ] = False,
    to_end: Annotated[
        bool,
        typer.Option(
            "--to-end", help="Exit once everything committed so far has been printed; starts with the oldest."
        ),
    ] = False,
) -> None:
    """Print decoded events from Kafka, one JSON object per line.

    Runs until SIGINT, or with --to-end until everything committed so far has been printed.
    """
    from connector.app import stopping_on_signals  # noqa: PLC0415 - see the module's docstring
    from connector.kafka.reading import (  # noqa: PLC0415 - see the module's docstring
        BEGINNING,
        NOW,
        AvroReader,
        ForeignRecordError,
        TopicReader,
        foreign_records_refused,
    )
    from connector.kafka.registry import RegistryClient  # noqa: PLC0415 - see the module's docstring
    from connector.kafka.topics import TopicNames  # noqa: PLC0415 - see the module's docstring

    known = [*BY_NAME, *(batch_type.name for batch_type in BATCH_TYPES)]
    chosen = events or list(BY_NAME)
    if unknown := [name for name in chosen if name not in known]:
        raise typer.BadParameter(f"unknown event type {', '.join(unknown)}; known are {', '.join(known)}")
    settings = configure(Settings, config)
    topics = [TopicNames(settings.kafka.topic_prefix).records(name) for name in chosen]
    with (
        stopping_on_signals() as stop,
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, topics, BEGINNING if from_beginning or to_end else NOW) as reader,
    ):
        decoder = AvroReader(registry)
        for record in reader.to_end(stop.is_set) if to_end else reader.follow(stop):
            line = {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "key": record.key.decode(errors="backslashreplace"),
            }
            try:
                with foreign_records_refused(record):
                    text = json.dumps({**line, "value": decoder.decode_readable(record)})
            except ForeignRecordError as error:
                _print_foreign([str(error)])
            else:
                say(text)


@app.command()
def gaps(
    *,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print the recorded gaps: events of those times may be missing."""
    from connector.operations.history import read_gaps  # noqa: PLC0415 - see the module's docstring

    found, foreign = read_gaps(configure(Settings, config))
    _print_foreign(foreign)
    if as_json:
        for gap in found:
            say(json.dumps(gap))
        return
    for gap in found:
        place = f"{gap['stream']}/{gap['stream_partition']}"
        say(f"{place:<8} {gap['gap_start']}  {gap['gap_end']}  {gap['state']}  {gap['cause']}: {gap['detail']}")
        if gap.get("remaining") is not None:
            say(f"{'':<8} reconciled by: {', '.join(gap['reconciled_by'] or ())}")
            say(f"{'':<8} remaining: {', '.join(gap['remaining']) or 'nothing'}")
    if not found:
        say("no gaps")


app.add_typer(batch, name="batch")
ledger = typer.Typer(help="Audit the connector's ledger, or reset it.", no_args_is_help=True)
app.add_typer(ledger, name="ledger")


@ledger.command()
def verify(
    *,
    config: ConfigFile = None,
    hours: Annotated[float, typer.Option(min=0, help="How far back to audit; 0: everything there is.")] = 24.0,
) -> None:
    """Audit ledger, events and dead letters against each other.

    Entries must be contiguous and add up, sequences must have no holes, and every id of the ledger must be in a topic
    and vice versa, as far back as `kafka.retention` keeps the topics. What does not fit is printed, and the exit code
    is then 70.
    """
    from connector.operations.history import audit_history  # noqa: PLC0415 - see the module's docstring
    from connector.x.clock import wall_us  # noqa: PLC0415 - see the module's docstring

    now_us = wall_us()
    since_us = max(0, now_us - int(hours * 3600 * 1_000_000)) if hours else 0
    audited = audit_history(configure(Settings, config), since_us, now_us)
    is_sound = not audited.foreign
    for partition, audit in audited.partitions.items():
        findings = list(audit.findings())
        is_sound = is_sound and not findings
        verdict = "does not fit:" if findings else "sound"
        say(f"{partition!s:<8} {audit.entries:>8} entries {audit.records:>10} records  {verdict}")
        for finding in findings:
            say(f"         {finding}")
    _print_foreign(audited.foreign)
    if not is_sound:
        raise typer.Exit(os.EX_SOFTWARE)


@ledger.command()
def reset(
    *,
    config: ConfigFile = None,
    stream: Annotated[str, typer.Option(help="tweet, user, like or label.")],
    partition: Annotated[int, typer.Option(min=1, max=4, help="The stream's partition; 1 for like and label.")],
) -> None:
    """Start a new ledger for one stream partition; records the gap.

    For a partition that stopped because its ledger cannot be trusted, once the cause is understood.
    """
    from connector.operations.reset import reset_ledger  # noqa: PLC0415 - see the module's docstring

    chosen = StreamPartition(stream, partition)
    if chosen not in STREAM_PARTITIONS:
        raise typer.BadParameter(
            f"there is no stream partition {chosen}; there are {', '.join(map(str, STREAM_PARTITIONS))}"
        )
    gap, foreign = reset_ledger(configure(Settings, config), chosen)
    _print_foreign(foreign)
    say(f"{chosen}: started a new ledger")
    if gap is not None:
        say(f"{chosen}: recorded a gap from {format_us(gap.start_us)} to {format_us(gap.end_us)}")


def _print_foreign(foreign: list[str]) -> None:
    """Print how many records the connector cannot have written, and what is wrong with the first."""
    if foreign:
        say(f"{len(foreign)} records were not written by the connector, such as {foreign[0]}", err=True)


@app.command()
def simulate(  # noqa: PLR0913 - each is an option of the command
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8400,
    rate: Annotated[float, typer.Option(min=0, help="Events per second, over all stream partitions.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the made-up events; same seed, same events.")] = 1,
    token: Annotated[str, typer.Option(help="The bearer token to accept.")] = "simulator-token",  # noqa: S107 - made up
    control_token: Annotated[
        str | None,
        typer.Option(help="Bearer token that opens /control/ to other machines; without, it is for this one alone."),
    ] = None,
    record_limit: Annotated[
        int, typer.Option(min=1, help="Events remembered for each stream partition, for backfill and replay.")
    ] = 1_000_000,
    rate_limit: Annotated[
        int, typer.Option(min=1, help="Requests allowed to each endpoint in 15 minutes; beyond that, 429.")
    ] = 100,
    keep_alive_s: Annotated[float, typer.Option(min=0.01, help="Seconds of silence before an empty line.")] = 20.0,
    select_by: Annotated[
        Literal["emission", "event-at"], typer.Option(help="The time by which backfill and replay choose lines.")
    ] = "emission",
    batch_job_s: Annotated[float, typer.Option(min=0, help="Simulated seconds that a batch job takes.")] = 10.0,
    batch_transfers: Annotated[
        Literal["bearer", "presigned"],
        typer.Option(help="How ids and results of batch jobs travel: with the token, or on the port of X's storage."),
    ] = "bearer",
    storage_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of X's storage, for presigned transfers; 0 takes any free one.")
    ] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="JSON", help='Arm a fault at the start, such as \'{"kind":"drop"}\'; may be repeated.'),
    ] = None,
) -> None:
    """Run a simulated X that misbehaves on command.

    Runs until SIGTERM or SIGINT, and is controlled over HTTP.

    GET /control/ lists all endpoints and all faults with their fields, as docs/simulator.md does.
    """
    from connector.app import stopping_on_signals  # noqa: PLC0415 - see the module's docstring
    from connector.simulator.config import SimulatorConfig  # noqa: PLC0415 - see the module's docstring
    from connector.simulator.manual import read_fault  # noqa: PLC0415 - see the module's docstring
    from connector.simulator.server import Simulator  # noqa: PLC0415 - see the module's docstring

    if control_token == "":
        raise typer.BadParameter("must not be empty", param_hint="--control-token")
    config = SimulatorConfig(
        host=host,
        port=port,
        rate=rate,
        seed=seed,
        token=token,
        control_token=control_token,
        record_limit=record_limit,
        rate_limit=rate_limit,
        keep_alive_s=keep_alive_s,
        select_by=select_by,
        batch_job_s=batch_job_s,
        batch_transfers=batch_transfers,
        storage_port=storage_port,
    )
    try:
        faults = [read_fault(text.encode()) for text in fault or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error
    simulator = Simulator(config)
    for each in faults:
        simulator.inject(each)
    try:
        simulator.start()
    except OSError as error:
        raise SettingsError([f"--port {port}: cannot listen on {host}: {error}"]) from error
    with stopping_on_signals() as stop:
        say(simulator.base_url)
        stop.wait()
    simulator.stop()


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(envvar="DEMO_SECONDS", min=5, help="How long to run.")] = 30.0,
) -> None:
    """Run everything on this machine, and count what arrives.

    Everything is a simulated X, a small broker, a schema registry and the service itself.
    """
    try:
        from connector.demo.run import run_demo  # noqa: PLC0415 - see the module's docstring
    except ImportError as error:
        raise MissingExtraError("demo", error) from error
    from connector.telemetry.logs import configure_logs  # noqa: PLC0415 - see the module's docstring

    configure_logs(LogSettings(level="error"), hidden={"gap_recorded"})  # a gap is a part of the demo, which shows it
    raise typer.Exit(run_demo(seconds))
