"""The life of a reader as steps and moves: what the tests play, and what `docs/x-connection.md` draws.

Every move is played by a test of its own, and no reader of any test makes a move that is not here.
"""

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """What a reader is at."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    STREAMING = "streaming"
    REPLAYING = "replaying"
    BACKING_OFF = "backing_off"
    STOPPED = "stopped"


MEANINGS = {
    Step.WAITING: "waits until all that came is committed, plans the next request, and waits for a permit to connect",
    Step.CONNECTING: "has sent the request to X",
    Step.CONNECTED: "X has granted the request, and no data has been received yet",
    Step.STREAMING: "a live connection has brought a keep-alive or a line with `data`",
    Step.REPLAYING: "a replay has brought a keep-alive or a line with `data`",
    Step.BACKING_OFF: "waits before it asks X again",
    Step.STOPPED: "has ended",
}


@dataclass(frozen=True)
class Move:
    """What leads from one step to the next; `resets_delays` says that the delays begin again with the first one."""

    at: Step
    to: Step
    when: str
    resets_delays: bool = False


MOVES = (
    Move(Step.WAITING, Step.WAITING, "no permit within a second, plan again"),
    Move(Step.WAITING, Step.CONNECTING, "permit granted"),
    Move(Step.WAITING, Step.BACKING_OFF, "internal error"),
    Move(Step.WAITING, Step.STOPPED, "stop"),
    Move(Step.CONNECTING, Step.CONNECTED, "granted"),
    Move(Step.CONNECTING, Step.WAITING, "refused twice in a row, ask for less"),
    Move(Step.CONNECTING, Step.BACKING_OFF, "failed, refused, or granted and useless by X's time"),
    Move(Step.CONNECTING, Step.STOPPED, "stop"),
    Move(Step.CONNECTED, Step.STREAMING, "keep-alive or data, live"),
    Move(Step.CONNECTED, Step.REPLAYING, "keep-alive or data, in a replay"),
    Move(Step.CONNECTED, Step.WAITING, "slice whole and empty", resets_delays=True),
    Move(Step.CONNECTED, Step.BACKING_OFF, "ended"),
    Move(Step.CONNECTED, Step.STOPPED, "stop"),
    Move(Step.STREAMING, Step.WAITING, "ended", resets_delays=True),
    Move(Step.STREAMING, Step.BACKING_OFF, "too many connections, internal error"),
    Move(Step.STREAMING, Step.STOPPED, "stop"),
    Move(Step.REPLAYING, Step.WAITING, "slice whole", resets_delays=True),
    Move(Step.REPLAYING, Step.BACKING_OFF, "slice not whole"),
    Move(Step.REPLAYING, Step.STOPPED, "stop"),
    Move(Step.BACKING_OFF, Step.WAITING, "the delay is over"),
    Move(Step.BACKING_OFF, Step.STOPPED, "stop"),
)
