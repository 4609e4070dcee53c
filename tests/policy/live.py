#!/usr/bin/env python3
"""Keep flows alive through a proxy, and open new ones all the time; check every byte of both.

live.py --connect HOST:PORT --listen HOST:PORT --flows N --churn PER_SECOND --seconds S [--seed SEED]

Each live flow sends random bytes of random length at random times, and wants exactly these back
from the echo server at --listen; at the end it half-closes and wants the end behind the last byte.
New flows do one exchange each. Prints "live: ready" when all flows are up, at the end one line of
JSON, and exits 1 if anything was lost, changed, reset or late.
"""
import argparse
import asyncio
import json
import os
import random
import sys

LATE_S = 30


class Failures:
    def __init__(self):
        self.count = 0

    def add(self, what):
        self.count += 1
        if self.count <= 20:
            print(f"live: {what}", file=sys.stderr)


async def echo(reader, writer):
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def end(reader, writer):
    writer.write_eof()
    rest = await asyncio.wait_for(reader.read(), LATE_S)
    if rest:
        raise ValueError("bytes behind the last one")
    writer.close()


class Run:
    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.failures = Failures()
        self.bytes = 0
        self.exchanges = 0
        self.churned = 0
        self.over = asyncio.Event()
        self.ready = asyncio.Semaphore(0)

    async def connect(self):
        host, port = self.options.connect.rsplit(":", 1)
        return await asyncio.open_connection(host.strip("[]"), int(port))

    def size(self):
        return self.rng.choice((1, 7, 100, 1500, 20000)) + self.rng.randrange(100)

    async def exchange(self, reader, writer):
        sent = os.urandom(self.size())
        writer.write(sent)
        await writer.drain()
        got = await asyncio.wait_for(reader.readexactly(len(sent)), LATE_S)
        if got != sent:
            raise ValueError("other bytes came back")
        self.bytes += len(sent)

    async def live(self, number):
        try:
            reader, writer = await self.connect()
            await self.exchange(reader, writer)
            self.ready.release()
            while not self.over.is_set():
                pause = self.rng.uniform(0.2, 2) * self.options.pause
                try:
                    await asyncio.wait_for(self.over.wait(), pause)
                except asyncio.TimeoutError:
                    pass
                await self.exchange(reader, writer)
                self.exchanges += 1
            await end(reader, writer)
        except Exception as error:
            self.failures.add(f"live flow {number}: {error!r}")
            self.ready.release()

    async def once(self, number):
        try:
            reader, writer = await self.connect()
            await self.exchange(reader, writer)
            await end(reader, writer)
            self.churned += 1
        except Exception as error:
            self.failures.add(f"new flow {number}: {error!r}")

    async def churn(self):
        tasks, clock, start, number = set(), asyncio.get_running_loop(), None, 0
        start = clock.time()
        while self.options.churn and not self.over.is_set():
            while number < (clock.time() - start) * self.options.churn:
                task = asyncio.create_task(self.once(number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)

    async def main(self):
        host, port = self.options.listen.rsplit(":", 1)
        server = await asyncio.start_server(echo, host.strip("[]"), int(port), backlog=4096)
        flows = []
        for number in range(self.options.flows):
            flows.append(asyncio.create_task(self.live(number)))
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        for _ in flows:
            await self.ready.acquire()
        print("live: ready", flush=True)
        churn = asyncio.create_task(self.churn())
        await asyncio.sleep(self.options.seconds)
        self.over.set()
        await asyncio.gather(churn, *flows)
        server.close()
        print(json.dumps({"failed": self.failures.count, "bytes": self.bytes,
                          "exchanges": self.exchanges, "new_flows": self.churned,
                          "seed": self.options.seed}))
        return 1 if self.failures.count else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--flows", type=int, default=100)
    parser.add_argument("--churn", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--pause", type=float, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    sys.exit(asyncio.run(Run(parser.parse_args()).main()))


main()
