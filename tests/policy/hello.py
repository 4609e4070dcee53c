"""Clients that send their first bytes as no library does. What the server's page says is printed.

hello.py split PORT CA NAME      every split: some bytes, a pause, the rest; says how many splits there were
hello.py bytes PORT CA NAME      byte by byte
hello.py records PORT CA NAME    in records of one byte
hello.py large PORT CA NAME      of over 16 KiB: thousands of protocols to choose from
hello.py ends PORT HOST          HTTP requests whose end comes with them, to a server that sends them back
hello.py raw PORT                what standard input has, then the answer up to its end

Certificates are verified. Ports are those of 127.0.0.1.
"""
import concurrent.futures
import os
import socket
import ssl
import sys
import time

PAUSE = float(os.environ.get("PAUSE", "0.01"))


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


class Client:
    """A TLS client over memory, so that its bytes can be sent in any way."""

    def __init__(self, ca, name, protocols=("http/1.1",)):
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(list(protocols))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.name = name
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.hello = self.outgoing.read()

    def step(self, connection, call, *arguments):
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                connection.sendall(self.outgoing.read())
                data = connection.recv(65536)
                if not data:
                    raise EOFError("the connection was closed")
                self.incoming.write(data)

    def page(self, connection):
        """The ClientHello has been sent: finish the handshake, ask for a page."""
        self.step(connection, self.tls.do_handshake)
        self.tls.write(f"GET / HTTP/1.0\r\nHost: {self.name}\r\n\r\n".encode())
        answer = b""
        try:
            while data := self.step(connection, self.tls.read, 65536):
                answer += data
        except (EOFError, ssl.SSLError):
            pass
        return answer.partition(b"\r\n\r\n")[2].decode().strip()


def ask(port, ca, name, pieces, protocols=("http/1.1",)):
    """Send pieces(ClientHello) with pauses between; returns the page."""
    client = Client(ca, name, protocols)
    with connect(port) as connection:
        for number, piece in enumerate(pieces(client.hello)):
            if number and PAUSE:
                time.sleep(PAUSE)
            connection.sendall(piece)
        return client.page(connection)


def one_byte_records(hello):
    """The same message, each byte of it in a record of its own (RFC 8446, 5.1)."""
    stream = b""
    while hello:
        size = int.from_bytes(hello[3:5], "big")
        for byte in hello[5 : 5 + size]:
            stream += hello[:3] + bytes([0, 1, byte])
        hello = hello[5 + size :]
    return stream


def split(port, ca, name):
    size = len(Client(ca, name).hello)

    def at(offset):
        try:
            return ask(port, ca, name, lambda hello: (hello[:offset], hello[offset:]))
        except Exception as error:
            return f"split at {offset}: {error!r}"

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(at, range(1, size)))
    print(size - 1, "splits", file=sys.stderr)
    return "\n".join(sorted(answers))


def large(port, ca, name):
    protocols = [f"{number:03}" + 200 * "x" for number in range(160)] + ["http/1.1"]

    def pieces(hello):
        assert len(hello) > 2 * 16384, len(hello)
        return (hello[:9000], hello[9000:17000], hello[17000:])

    return ask(port, ca, name, pieces, protocols)


def ends(port, host):
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    def exchange(number):
        with connect(port) as client:
            if number % 2:
                client.sendall(request[:10])
                time.sleep(0.002)
            # The end in the segment of the last bytes, not in one of its own.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            client.sendall(request[10:] if number % 2 else request)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while data := client.recv(65536):
                answer += data
        return answer == request

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return f"{sum(pool.map(exchange, range(300)))} of 300"


def raw(port):
    with connect(port) as connection:
        connection.sendall(sys.stdin.buffer.read())
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            sys.stdout.buffer.write(data)


def main(mode, port, *arguments):
    port = int(port)
    if mode == "raw":
        raw(port)
    elif mode == "split":
        print(split(port, *arguments))
    elif mode == "ends":
        print(ends(port, *arguments))
    elif mode == "large":
        print(large(port, *arguments))
    elif mode == "bytes":
        print(ask(port, *arguments, lambda hello: [bytes([byte]) for byte in hello]))
    elif mode == "records":
        print(ask(port, *arguments, lambda hello: [one_byte_records(hello)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
