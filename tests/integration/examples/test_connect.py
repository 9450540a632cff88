"""The Kafka Connect example, with a PostgreSQL of its own; long, as it fetches 80 MB of libraries."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.examples.java import build, java_command
from tests.integration.examples.published import EXAMPLES, Published
from tests.rig.process import LOOPBACK, free_port, wait_until

_FOLDER = EXAMPLES / "connect"
_USER = "postgres"
_TIMEOUT_S = 120
_PRIMARY_KEY = "insert.mode=upsert\nprimary.key.mode=record_value\nprimary.key.fields=event_id\n"


@dataclass(frozen=True)
class _Postgres:
    """A server that trusts everyone on the loopback, and the folder of its tools."""

    tools: Path
    port: int

    def query(self, sql: str) -> list[list[str]] | None:
        """Return the rows of two columns, or None where the server refuses."""
        options = f"-h {LOOPBACK} -p {self.port} -U {_USER} -At -c".split()
        command = [str(self.tools / "psql"), *options, sql]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
        return None if done.returncode else [line.split("|", 1) for line in done.stdout.split("\n") if line]


@pytest.fixture(scope="module")
def postgres() -> Iterator[_Postgres]:
    """Start a PostgreSQL that is empty."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as folder, _postgres(found[-1], Path(folder)) as server:
        yield server


@contextmanager
def _postgres(tools: Path, folder: Path) -> Iterator[_Postgres]:
    """Run a server; it refuses to be root, so root runs it as the user of Debian's package."""
    as_user = []
    if os.geteuid() == 0:
        as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        shutil.chown(folder, _USER)
    data, port = folder / "data", free_port()
    create = f"{tools}/initdb --no-sync --encoding=UTF8 --locale=C --auth=trust -U {_USER} -D {data}".split()
    serve = f"{tools}/postgres -F -D {data} -h {LOOPBACK} -p {port} -k {folder}".split()
    subprocess.run([*as_user, *create], stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - the command is ours
    with (folder / "log").open("w") as log, subprocess.Popen([*as_user, *serve], stderr=log) as process:  # noqa: S603 - ours
        server = _Postgres(tools, port)
        try:
            wait_until(lambda: server.query("SELECT 1") is not None, "PostgreSQL answers")
            yield server
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["upsert", "insert"])
def test_tables_have_each_committed_event_once(
    published: Published, postgres: _Postgres, tmp_path: Path, mode: str
) -> None:
    """Copies that were aborted are left out even where no primary key would do that; U+0000 becomes U+FFFD."""
    build(_FOLDER)
    by_type = Counter(event["event_type"] for event in published.events.values())
    tables = Counter({_table(mode, published, name): count for name, count in by_type.items()})
    with _connect(published, postgres, tmp_path, mode):
        wait_until(lambda: _count(postgres, tables) >= tables, "all events are rows", _TIMEOUT_S)
    assert _count(postgres, tables) == tables
    profiles = _table(mode, published, "user.profile-modification")
    rows = postgres.query(f'SELECT event_id, to_json(new_value) FROM "{profiles}"')  # noqa: S608 - the name is ours
    assert rows is not None
    texts = {event_id: json.loads(text) for event_id, text in rows}
    assert texts == {
        event["event_id"]: event["new_value"].replace("\0", "\ufffd")
        for event in published.events.values()
        if event["event_type"] == "user.profile-modification"
    }


def _table(mode: str, published: Published, event_type: str) -> str:
    return f"{mode}_{published.prefix}.{event_type}".replace(".", "_")


def _count(postgres: _Postgres, tables: Counter[str]) -> Counter[str]:
    """Return the number of rows in each table; none where one is not there yet."""
    each = (f"SELECT '{table}', count(*) FROM \"{table}\"" for table in tables)  # noqa: S608 - the name is ours
    return Counter({table: int(count) for table, count in postgres.query(" UNION ALL ".join(each)) or ()})


@contextmanager
def _connect(published: Published, postgres: _Postgres, folder: Path, mode: str) -> Iterator[None]:
    """Run the example's worker and sink; with the mode `insert` without a primary key."""
    worker = (_FOLDER / "worker.properties").read_text(encoding="utf-8")
    worker = worker.replace("/tmp/connect.offsets", str(folder / "offsets"))  # noqa: S108 - it is replaced
    sink = (_FOLDER / "sink.properties").read_text(encoding="utf-8")
    sink = sink.replace("name=compliance", f"name={published.prefix}-{mode}")
    sink = sink.replace(_PRIMARY_KEY, _PRIMARY_KEY if mode == "upsert" else "insert.mode=insert\n")
    (folder / "worker").write_text(f"{worker}listeners=http://{LOOPBACK}:{free_port()}\n", encoding="utf-8")
    (folder / "sink").write_text(f"{sink}collection.name.format={mode}_${{topic}}\n", encoding="utf-8")
    environment = published.environment | {
        "APICURIO": published.registry.replace("/ccompat/v7", "/registry/v2"),
        "POSTGRES": f"jdbc:postgresql://{LOOPBACK}:{postgres.port}/{_USER}",
        "PGUSER": _USER,
        "PGPASSWORD": "none",
    }
    command = [*java_command("org.apache.kafka.connect.cli.ConnectStandalone"), folder / "worker", folder / "sink"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=_FOLDER, env=environment, stdout=log, stderr=log) as process,  # noqa: S603 - ours
    ):
        try:
            yield
        finally:
            process.terminate()
