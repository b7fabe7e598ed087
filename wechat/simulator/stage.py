"""The parts of one simulator, gathered so that its handlers share them and one reset reaches them all."""

from dataclasses import dataclass, field

from wechat.simulator.faults import Faults
from wechat.simulator.ledger import Ledger
from wechat.simulator.port import Port
from wechat.simulator.state import World
from wechat.simulator.wire import Waits


@dataclass(frozen=True, slots=True)
class Stage:
    """One simulated WeChat: its world, the list of what it was asked, its faults, who is kept waiting, its port."""

    world: World
    ledger: Ledger = field(default_factory=Ledger)
    faults: Faults = field(default_factory=Faults)
    waits: Waits = field(default_factory=Waits)
    port: Port = field(default_factory=Port)

    def reset(self) -> None:
        """Go back to the first moment; requests that a fault keeps waiting are let go."""
        self.world.reset()
        self.ledger.reset()
        self.faults.reset()
        self.waits.end()
