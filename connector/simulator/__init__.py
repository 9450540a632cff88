"""An X that can misbehave on command, with a record of everything it emitted; for tests and the demo."""

from connector.simulator.config import SimulatorConfig
from connector.simulator.record import Emitted
from connector.simulator.server import Simulator

__all__ = ["Emitted", "Simulator", "SimulatorConfig"]
