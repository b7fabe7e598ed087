"""The parts of one simulator, gathered so that its handlers share them and one reset reaches them all."""

import msgspec

from wechat.simulator.faults import Faults
from wechat.simulator.ledger import Ledger
from wechat.simulator.port import Port
from wechat.simulator.state import World
from wechat.simulator.wire import Waits


class Stage(msgspec.Struct, frozen=True):
    """One simulated WeChat: its world, the list of what it was asked, its faults, who is kept waiting, its port."""

    world: World
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    faults: Faults = msgspec.field(default_factory=Faults)
    waits: Waits = msgspec.field(default_factory=Waits)
    port: Port = msgspec.field(default_factory=Port)

    def reset(self) -> None:
        """Go back to the first moment; requests that a fault keeps waiting are let go."""
        self.world.reset()
        self.ledger.reset()
        self.faults.reset()
        self.waits.end()
