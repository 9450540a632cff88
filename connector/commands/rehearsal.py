"""Commands that need neither X nor a cluster: the simulated X, and the demo."""

import shlex
from typing import Annotated, Literal

import typer

from connector.console import say
from connector.errors import MissingExtraError, SettingsError
from connector.settings import LogSettings, variable_name


def simulate(  # noqa: PLR0913 - each is an option of the command
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8400,
    rate: Annotated[float, typer.Option(min=0, help="Events per second, across all stream partitions.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the made-up events; same seed, same events.")] = 1,
    token: Annotated[str, typer.Option(help="The bearer token to accept.")] = "simulator-token",  # noqa: S107 - made up
    control_token: Annotated[
        str | None,
        typer.Option(help="Bearer token that opens /control/ to other machines; without it only this one may use it."),
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
    from connector.simulator.config import SimulatorConfig
    from connector.simulator.manual import read_fault
    from connector.simulator.server import Simulator
    from connector.stopping import stopping_on_signals

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
        say("to point a connector at it:", *(f"  {line}" for line in exports(simulator.base_url, token)), err=True)
        stop.wait()
    simulator.stop()


def exports(base_url: str, token: str) -> tuple[str, str]:
    """Return what to type in a shell; a simulator that listens everywhere is reached on this machine."""
    url = base_url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    given = {("x", "base_url"): url, ("x", "bearer_token"): token}
    first, second = (f"export {variable_name(path)}={shlex.quote(value)}" for path, value in given.items())
    return first, second


def demo(
    seconds: Annotated[float, typer.Option(envvar="DEMO_SECONDS", min=5, help="How long to run.")] = 30.0,
) -> None:
    """Run a whole set-up on this machine, and count what arrives.

    It is a simulated X, a small broker, a schema registry and the service itself. Needs the extra `demo`, which the
    container image is without. Exit codes: 0 every event is accounted for; 1 one is not; 69 the broker does not start,
    or the service does not connect; 78 the extra is missing.
    """
    try:
        from connector.demo.run import run_demo
    except ImportError as error:
        raise MissingExtraError("demo", error) from error
    from connector.telemetry.logs import configure_logs

    configure_logs(LogSettings(level="error"), hidden={"gap_recorded"})  # a gap is a part of the demo, which shows it
    raise typer.Exit(run_demo(seconds))
