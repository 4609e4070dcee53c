"""Servers that know who they are, and clients that know whom they want.

  serve PORT COUNT        servers at 127.77.0.1 to .COUNT and at ::1, all on PORT, TCP and UDP
  check PORT              one client of each kind
  reuse PORT LOCAL-PORT PROXYD-PID
  once ADDRESS PORT       one exchange
  steady PORT STOP        one after the other, until the file STOP is there

A client first names the server that it wants, one byte. A server that is not meant says so in its
log: "wrong". It answers with its own name and echoes. A GET is answered with a MiB.
"""
import asyncio
import os
import random
import selectors
import signal
import socket
import struct
import sys

ORIGINAL_DESTINATION = 80
ABORT = struct.pack("ii", 1, 0)
LATE_S = 20
BODY = random.Random(1).randbytes(1 << 20)


def name_of(address):
    """127.77.0.7 is 7; ::1 is 0."""
    return 0 if address == "::1" else int(address.rsplit(".", 1)[1])


def address_of(name):
    return f"127.77.0.{name}" if name else "::1"


async def serve_one(name, reader, writer):
    try:
        first = await reader.readexactly(1)
        if first == b"G":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        elif first[0] != name:
            print(f"wrong: {name} for {first[0]}", flush=True)
        else:
            writer.write(first)
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(data, peer)


async def serve(port, count):
    for name in range(count + 1):
        def talk(reader, writer, name=name):
            return serve_one(name, reader, writer)
        await asyncio.start_server(talk, address_of(name), port, backlog=4096)
    await asyncio.get_running_loop().create_datagram_endpoint(
        Datagrams, local_addr=(address_of(1), port))
    print("ready", flush=True)
    await asyncio.Event().wait()


def expect(wanted, got, what):
    if wanted != got:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")


def receive(client, size):
    got = b""
    while len(got) < size:
        chunk = client.recv(size - len(got))
        if not chunk:
            break
        got += chunk
    return got


def exchange(client, name, named=False):
    message = os.urandom(5000)
    client.settimeout(LATE_S)
    client.sendall((b"" if named else bytes([name])) + message)
    expect(bytes([name]) + message, receive(client, 5001), "answer")


def original(client, level):
    if level == socket.SOL_IP:
        raw = client.getsockopt(level, ORIGINAL_DESTINATION, 16)
        family, port, ip = struct.unpack("=H2s4s", raw[:8])
        expect((socket.AF_INET, 16), (family, len(raw)), "SO_ORIGINAL_DST")
        ip = socket.inet_ntop(socket.AF_INET, ip)
    else:
        raw = client.getsockopt(level, ORIGINAL_DESTINATION, 28)
        family, port, ip = struct.unpack("=H2s4x16s4x", raw)
        expect(socket.AF_INET6, family, "IP6T_SO_ORIGINAL_DST")
        ip = socket.inet_ntop(socket.AF_INET6, ip)
    return ip, int.from_bytes(port, "big")


def check_tcp(kind, port):
    with socket.create_connection((address_of(3), port)) as client:
        expect((address_of(3), port), client.getpeername(), kind)
        expect((address_of(3), port), original(client, socket.SOL_IP), kind)
        exchange(client, 3)


def check_ipv6(port):
    with socket.create_connection(("::1", port)) as client:
        expect(("::1", port), client.getpeername()[:2], "IPv6")
        expect(("::1", port), original(client, socket.IPPROTO_IPV6), "IPv6")
        exchange(client, 0)


def check_mapped(port):
    wanted = "::ffff:" + address_of(4)
    with socket.socket(socket.AF_INET6) as client:
        client.connect((wanted, port))
        expect((wanted, port), client.getpeername()[:2], "mapped")
        expect((wanted, port), original(client, socket.IPPROTO_IPV6), "mapped")
        expect((address_of(4), port), original(client, socket.SOL_IP), "mapped")
        exchange(client, 4)


def check_fast_open(port):
    with socket.socket() as client:
        client.sendto(bytes([5]), socket.MSG_FASTOPEN, (address_of(5), port))
        exchange(client, 5, named=True)
        expect((address_of(5), port), client.getpeername(), "MSG_FASTOPEN")
    with socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
        client.connect((address_of(6), port))
        exchange(client, 6)


def check_non_blocking(port):
    """Its errors, too, are those of the socket that it is."""
    with socket.socket() as client:
        client.setblocking(False)
        expect(115, client.connect_ex((address_of(9), port)), "EINPROGRESS")
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_WRITE)
            expect(1, len(selector.select(LATE_S)), "writable")
        expect(0, client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "SO_ERROR")
        # Once more says that it is done, the next time that it was.
        expect(0, client.connect_ex((address_of(9), port)), "connected")
        expect(106, client.connect_ex((address_of(9), port)), "EISCONN")
        expect((address_of(9), port), client.getpeername(), "non-blocking")
        exchange(client, 9)


def check_again(port):
    """A socket that was refused may try another address."""
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        client.connect((address_of(7), port))
        exchange(client, 7)
        # AF_UNSPEC: disconnect.
        disconnect(client)
        client.connect((address_of(8), port))
        exchange(client, 8)
        expect((address_of(8), port), client.getpeername(), "second connect")


def disconnect(client):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(client.fileno(), bytes(16), 16):
        raise OSError(ctypes.get_errno(), "disconnect")


def check_others(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(LATE_S)
        client.connect((address_of(1), port))
        client.send(b"datagram")
        expect(b"datagram", client.recv(100), "UDP")
        expect((address_of(1), port), client.getpeername(), "UDP")
    one, other = socket.socketpair()
    one.send(b"x")
    expect(b"x", other.recv(1), "unix")


def check(port):
    check_tcp("IPv4", port)
    check_ipv6(port)
    check_mapped(port)
    check_fast_open(port)
    check_non_blocking(port)
    check_again(port)
    check_others(port)


def reuse(port, local, proxyd):
    """Many users of one tuple, while nobody accepts; only the last one stays."""
    os.kill(proxyd, signal.SIGSTOP)
    try:
        for name in range(1, 11):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("127.0.0.1", local))
            client.connect((address_of(name), port))
            client.sendall(bytes([name]))
            if name < 10:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                client.close()
    finally:
        os.kill(proxyd, signal.SIGCONT)
    exchange(client, 10, named=True)


def once(address, port):
    with socket.create_connection((address, port)) as client:
        expect((address, port), client.getpeername()[:2], "getpeername")
        exchange(client, name_of(address))


def steady(port, stop):
    while not os.path.exists(stop):
        once(address_of(1), port)


def main():
    what, *rest = sys.argv[1:]
    if what == "serve":
        asyncio.run(serve(*map(int, rest)))
    elif what == "once":
        once(rest[0], int(rest[1]))
    elif what == "steady":
        steady(int(rest[0]), rest[1])
    else:
        {"check": check, "reuse": reuse}[what](*map(int, rest))


if __name__ == "__main__":
    if sys.argv[1] == "body":
        sys.stdout.buffer.write(BODY)
    else:
        main()
