#!/usr/bin/env python3
"""PROXY protocol headers on their way through proxyd: what the server gets, to the byte.

    proxy_header.py serve PORT
    proxy_header.py check PORT...    the listeners: trusting, mixed, timed, chained
"""
import hashlib
import os
import random
import socket
import struct
import sys
import threading

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TIMEOUT = 30


def serve(port):
    """Read to the end, then say what it was: the first line, and a digest of the rest."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    print("ready", flush=True)
    while True:
        threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()


def answer(connection):
    with connection:
        connection.settimeout(TIMEOUT)
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
        except OSError:
            return
        line, _, rest = got.partition(b"\r\n")
        said = f"{line.decode(errors='replace')} {len(rest)} {digest(rest)}"
        print(said, flush=True)
        connection.sendall(said.encode())


def digest(data):
    return hashlib.sha256(data).hexdigest()


def v1(source="192.0.2.7", destination="203.0.113.9", ports=(4711, 443), family="TCP4"):
    return f"PROXY {family} {source} {destination} {ports[0]} {ports[1]}\r\n".encode()


def v2(source="192.0.2.7", destination="203.0.113.9", ports=(4711, 443), tlvs=b"", command=0x21):
    kind, af = (0x21, socket.AF_INET6) if ":" in source else (0x11, socket.AF_INET)
    body = socket.inet_pton(af, source) + socket.inet_pton(af, destination)
    body += struct.pack("!HH", *ports) + tlvs
    return SIGNATURE + struct.pack("!BBH", command, kind, len(body)) + body


class Client:
    """A connection to proxyd, from an address of 127/8."""

    def __init__(self, port, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.own = self.socket.getsockname()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def answer(self):
        """What the server said once it had the end, None: proxyd has reset us."""
        got = b""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while part := self.socket.recv(65536):
                got += part
        except (ConnectionResetError, BrokenPipeError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            return None
        finally:
            self.socket.close()
        return got.decode()


def expect(what, got, line, payload):
    wanted = line and f"{line} {len(payload)} {digest(payload)}"
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")


LINE = v1()[:-2].decode()


def pieces(data, rng):
    while data:
        size = rng.choice((1, 2, 3, 10, 100, len(data)))
        yield data[:size]
        data = data[size:]


def accepted(port, payload):
    """Every form of a header, however it comes in, is taken off, and no byte more."""
    padding = 4096 - len(v2()) - 3
    huge = v2(tlvs=b"\x04" + struct.pack("!H", padding) + bytes(padding))
    six = "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535"
    for what, header, line in (
        ("v1", v1(), LINE),
        ("v2", v2(), LINE),
        ("v2 with TLVs", v2(tlvs=b"\x04\0\3abc"), LINE),
        ("v2 of 4 KiB", huge, LINE),
        ("v1, IPv6", v1("2001:db8::1", "2001:db8::2", (1, 65535), "TCP6"), six),
        ("v2, IPv6", v2("2001:db8::1", "2001:db8::2", (1, 65535)), six),
    ):
        expect(f"{what}, one segment", Client(port).send(header + payload).answer(), line, payload)
        expect(f"{what}, two segments", Client(port).send(header, payload).answer(), line, payload)
        expect(f"{what}, no payload", Client(port).send(header).answer(), line, b"")
        if len(header) < 100:
            single = (header[i : i + 1] for i in range(len(header)))
            expect(f"{what}, byte by byte", Client(port).send(*single, payload).answer(), line, payload)


def own_addresses(port, payload):
    """LOCAL and UNKNOWN: the connection is the peer's own."""
    for what, header in (("LOCAL", v2(command=0x20)), ("UNKNOWN", b"PROXY UNKNOWN\r\n")):
        client = Client(port)
        line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {client.own[1]} {port}"
        expect(what, client.send(header + payload).answer(), line, payload)


def refused(port, payload):
    """What is no header is not taken for payload."""
    for what, data in (
        ("garbage", b"\x16\x03\x01" + payload),
        ("a header of the server's side", b"GET / HTTP/1.1\r\n\r\n"),
        ("half a signature", SIGNATURE[:6] + b"x" + payload),
        ("a header too long", SIGNATURE + b"\x21\x11\xff\xff" + bytes(70000)),
        ("a line without end", b"PROXY TCP4 " + b"1" * 4000),
        ("a bad port", v1(ports=(1, 70000)) + payload),
        ("half a header, then the end", v2()[:20]),
        ("half a line, then the end", v1()[:20]),
    ):
        expect(what, Client(port).send(data).answer(), None, b"")


def untrusted(port, mixed, payload):
    try:
        got = Client(port, "127.0.0.9").send(v2() + payload).answer()
    except ConnectionError:
        got = None
    expect("an untrusted peer", got, None, b"")
    client = Client(mixed, "127.0.0.9")
    line = f"PROXY TCP4 127.0.0.9 127.0.0.1 {client.own[1]} {mixed}"
    data = v1("192.0.2.66") + payload
    expect("a header of an untrusted peer is payload", client.send(data).answer(), line, data)
    expect("a trusted one beside it", Client(mixed).send(v2() + payload).answer(), LINE, payload)


def late(port):
    """Nothing comes, or not all: there is an end to the patience."""
    for data in (b"", v2()[:-1]):
        client = Client(port).send(data)
        try:
            if client.socket.recv(1):
                sys.exit("bytes for a client that was not let in")
            sys.exit("an orderly end")
        except ConnectionResetError:
            pass


def nothing(port):
    """A peer that only looks whether somebody listens."""
    got = Client(port).answer()
    if got != "":
        sys.exit(f"a connection without a byte: {got!r}")


def policy(port):
    """Limits and routes go by what the header says."""
    expect("denied by its header", Client(port).send(v2("198.51.100.7")).answer(), None, b"")
    line = v1(destination="203.0.113.77")[:-2].decode()
    got = Client(port).send(v2(destination="203.0.113.77")).answer()
    expect("rejected by its destination", got, None, line.encode())


def check(trusting, mixed, timed, chained):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 31)))
    rng = random.Random(seed)
    print(f"seed {seed}", flush=True)
    payload = rng.randbytes(150000)
    accepted(trusting, b"x")
    accepted(trusting, payload)
    own_addresses(trusting, payload)
    refused(trusting, payload)
    untrusted(trusting, mixed, payload)
    nothing(trusting)
    late(timed)
    policy(trusting)
    for _ in range(30):
        header = rng.choice((v1(), v2(), v2(tlvs=rng.randbytes(rng.randrange(2000)))))
        data = rng.randbytes(rng.randrange(100000))
        expect("pieces", Client(trusting).send(*pieces(header + data, rng)).answer(), LINE, data)
        expect("a chain", Client(chained).send(*pieces(header + data, rng)).answer(), LINE, data)


if __name__ == "__main__":
    {"serve": serve, "check": check}[sys.argv[1]](*map(int, sys.argv[2:]))
