"""A TCP proxy of our own between a server and its store: it delays, freezes or cuts both directions."""

import asyncio
import threading
from contextlib import suppress

Chunks = asyncio.Queue[tuple[float, bytes]]


class DelayingProxy:
    """Passes bytes on to a port of this machine; runs in a thread, so a test may block its own loop meanwhile."""

    def __init__(self, target_port: int) -> None:
        self.delay_seconds = 0.0  # for each direction
        self.port = 0
        self.accepted = 0
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._served: set[asyncio.Task[None]] = set()
        self._gate = self._open_gate()
        self._thread = threading.Thread(target=self._loop.run_forever, name="delaying-proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def freeze(self) -> None:
        """Holds every byte back, connections stay open and new ones are accepted: a network that swallows all."""
        self._loop.call_soon_threadsafe(self._gate.clear)

    def thaw(self) -> None:
        """Lets everything that was held back go on."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def lose(self) -> None:
        """Never passes anything on again for the connections there are, without a word; new ones work."""
        self.freeze()
        self._gate = self._open_gate()

    def hold_newcomers(self) -> None:
        """Accepts new connections and passes nothing on for them; those that there are go on."""
        self._gate = asyncio.Event()

    def cut(self) -> None:
        """Closes every connection now; new ones are accepted."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    @property
    def connections(self) -> int:
        """How many connections are open on the side of the server that asks."""
        return len(self._writers) // 2

    def close(self) -> None:
        """Ends the proxy and its thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _open_gate(self) -> asyncio.Event:
        gate = asyncio.Event()
        gate.set()
        return gate

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = asyncio.ensure_future(self._serve_one(reader, writer))
        self._served.add(served)
        served.add_done_callback(self._served.discard)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        both = {writer, far_writer}
        self._writers |= both
        gate = self._gate
        directions = [self._pass(gate, reader, far_writer), self._pass(gate, far_reader, writer)]
        tasks = [asyncio.ensure_future(each) for each in directions]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in both:
            each.close()
        self._writers -= both

    async def _pass(self, gate: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, in order, each chunk as late as `delay_seconds` says when it comes."""
        chunks: Chunks = asyncio.Queue()
        sender = asyncio.ensure_future(self._send(gate, chunks, writer))
        try:
            with suppress(OSError):
                while data := await reader.read(65_536):
                    chunks.put_nowait((self._loop.time() + self.delay_seconds, data))
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, gate: asyncio.Event, chunks: Chunks, writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await gate.wait()
            writer.write(data)
            await writer.drain()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        await asyncio.gather(*self._served)
