"""Connections that look the same in two networks.

  serve NAME PORT
  ask NAME ADDRESS PORT LOCAL-ADDRESS LOCAL-PORT COUNT SECONDS

A server begins with its name and echoes. A client wants to hear that name, and what it has sent, for so long,
on COUNT connections, whose ports begin with LOCAL-PORT.
"""
import asyncio
import os
import sys
import time

LATE_S = 30


def name_of(text):
    return text.encode().ljust(16)


async def serve(name, port):
    async def talk(reader, writer):
        try:
            writer.write(name_of(name))
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
    await asyncio.start_server(talk, None, port, backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()


def expect(wanted, got):
    if wanted != got:
        sys.exit(f"expected {wanted[:40]!r}, got {got[:40]!r}")


async def ask_once(name, to, local, end):
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(*to, local_addr=local), LATE_S)
    expect(name_of(name), await asyncio.wait_for(reader.readexactly(16), LATE_S))
    rounds = 0
    while time.monotonic() < end:
        message = name_of(name) + os.urandom(20000)
        writer.write(message)
        expect(message, await asyncio.wait_for(reader.readexactly(len(message)), LATE_S))
        rounds += 1
    writer.close()
    return rounds


async def ask(name, address, port, local_address, local_port, count, seconds):
    end = time.monotonic() + seconds
    rounds = await asyncio.gather(*(ask_once(name, (address, port), (local_address, local_port + i), end)
                                    for i in range(count)))
    print(f"{count} connections, {sum(rounds)} rounds")


if __name__ == "__main__":
    what, whose, *rest = sys.argv[1:]
    if what == "serve":
        asyncio.run(serve(whose, int(rest[0])))
    else:
        asyncio.run(ask(whose, rest[0], int(rest[1]), rest[2], *map(int, rest[3:])))
