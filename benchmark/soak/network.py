"""The way between a node and a server it needs: a TCP proxy that can be cut and silenced, on a thread of its own."""

import asyncio
import threading

OPEN, SILENT, CUT = "open", "silent", "cut"
CARRIED_MAX = 64 * 1024


class Networks:
    """The thread on which all of them run."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def to(self, port):
        """A way to this port."""
        return asyncio.run_coroutine_threadsafe(Network.open(port), self.loop).result(10)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


class Network:
    @classmethod
    async def open(cls, upstream):
        network = cls()
        network.loop, network.upstream, network.state = asyncio.get_running_loop(), upstream, OPEN
        network.opened, network.writers = asyncio.Event(), set()
        network.opened.set()
        network.server = await asyncio.start_server(network.accept, "127.0.0.1", 0)
        network.port = network.server.sockets[0].getsockname()[1]
        return network

    def become(self, state):
        """`silent`: what is sent arrives when it is open again. `cut`: connections break, and new ones break at once."""
        def change():
            self.state = state
            if state == OPEN:
                self.opened.set()
            else:
                self.opened.clear()
            if state == CUT:
                for writer in list(self.writers):
                    writer.transport.abort()

        self.loop.call_soon_threadsafe(change)

    async def accept(self, reader, writer):
        self.writers.add(writer)
        far = None
        try:
            if self.state == CUT:
                return
            await self.opened.wait()
            from_far, far = await asyncio.open_connection("127.0.0.1", self.upstream)
            self.writers.add(far)
            ways = [asyncio.ensure_future(self.carry(*way)) for way in ((reader, far), (from_far, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end:
                    self.writers.discard(end)
                    end.transport.abort()

    async def carry(self, reader, writer):
        try:
            while data := await reader.read(CARRIED_MAX):
                await self.opened.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        await self.opened.wait()
