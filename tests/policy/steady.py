#!/usr/bin/env python3
"""Send requests at a steady pace, each on a connection of its own, and note what becomes of each.

steady.py --connect HOST:PORT --say TEXT [--rate PER_SECOND] [--patience SECONDS] [--seconds SECONDS]

The server is to answer with "who=NAME" and the end of a line. A line for each request that is over:
when it began and ended (ms since 1970), then NAME, or "!" and what went wrong. Ends by itself after
--seconds, or by SIGTERM; requests under way are noted still.
"""
import argparse
import asyncio
import re
import signal
import time

ANSWER = re.compile(rb"who=(\S+)\r?\n")


def now_ms():
    return time.time_ns() // 1_000_000


async def ask(host, port, words):
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(words)
        heard = b""
        while not (found := ANSWER.search(heard)):
            more = await reader.read(4096)
            if not more:
                raise EOFError
            heard += more
        return found[1].decode()
    finally:
        writer.close()


async def note(options, words):
    host, port = options.connect.rsplit(":", 1)
    began = now_ms()
    try:
        who = await asyncio.wait_for(ask(host, port, words), options.patience)
    except asyncio.TimeoutError:
        who = "!late"
    except (OSError, EOFError) as error:
        who = "!" + type(error).__name__
    print(began, now_ms(), who, flush=True)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", required=True)
    parser.add_argument("--say", required=True)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--patience", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    words = options.say.encode().decode("unicode_escape").encode()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    began, number, requests = time.monotonic(), 0, set()
    while not over.is_set() and time.monotonic() - began < options.seconds:
        request = asyncio.create_task(note(options, words))
        requests.add(request)
        request.add_done_callback(requests.discard)
        number += 1
        # By the clock, not by pauses: what is late is made up for.
        due = began + number / options.rate
        await asyncio.sleep(max(0, due - time.monotonic()))
    await asyncio.gather(*requests)


asyncio.run(main())
