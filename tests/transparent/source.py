#!/usr/bin/env python3
"""Clients and servers that say whom they take each other for.

    source.py serve PORT                      answers each connection with its peer's address and port
    source.py ask ADDRESS PORT [LOCAL-PORT]   prints the answer, and the own port
    source.py twice ADDRESS PORT ADDRESS PORT the same, of two connections at once from one port
    source.py named ADDRESS PORT SOURCE       the same behind a PROXY header that names SOURCE
"""
import asyncio
import socket
import sys

TIMEOUT = 60


async def answer(reader, writer):
    address, port = writer.get_extra_info("peername")[:2]
    writer.write(f"{address} {port}\n".encode())
    await writer.drain()
    await reader.read()
    writer.close()


async def serve(port):
    await asyncio.start_server(answer, None, int(port))
    print("ready", flush=True)
    await asyncio.Event().wait()


def connect(address, port, local=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family)
    client.settimeout(TIMEOUT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("", int(local)))
    client.connect((address, int(port)))
    return client


def said(client):
    line = client.makefile().readline().strip()
    return f"{line or 'nothing'} {client.getsockname()[1]}"


def ask(*to):
    print(said(connect(*to)))


def twice(address, port, other_address, other_port):
    first = connect(address, port)
    one = said(first)
    print(one, said(connect(other_address, other_port, first.getsockname()[1])))


def named(address, port, source):
    client = connect(address, port)
    client.sendall(f"PROXY TCP4 {source} {address} 4711 {port}\r\n".encode())
    print(said(client))


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        asyncio.run(serve(*rest))
    else:
        {"ask": ask, "twice": twice, "named": named}[what](*rest)
