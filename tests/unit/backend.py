"""A server that health checks look at, and that behaves as it is told, a line at a time:

mode MODE   from the next connection on (see answer())
refuse      listen no more
listen      listen again, on the same port
count       connections that were accepted since the last count
most        connections that were open at once, at most
errors      connections whose answer could not be sent to its end
peer        the address that the last connection came from
said        what its client sent before its answer, in hex
times       when connections were accepted, in ms, since the last times

Listens on all of 127.0.0.0/8. "ready PORT" comes first; each line is answered with one.
"""
import select
import socket
import struct
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nServer: test\r\nConnection: close\r\n"
PAGE = HEAD + b"Content-Length: 5\r\n\r\nhello"


class Server:
    def __init__(self):
        self.mode = "ok"
        self.lock = threading.Lock()
        self.times, self.count, self.open, self.most, self.errors = [], 0, 0, 0, 0
        self.peer, self.said = "", b""
        self.port = 0
        self.listener = None
        self.wake = threading.Event()
        self.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", self.port))
        listener.listen(1024)
        self.port = listener.getsockname()[1]
        self.listener = listener
        self.wake.set()

    def refuse(self):
        self.wake.clear()
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def accept(self):
        while True:
            listener = self.listener
            if listener is None:
                self.wake.wait()
                continue
            try:
                connection, peer = listener.accept()
            except OSError:
                continue
            with self.lock:
                self.times.append(time.monotonic() * 1000)
                self.count += 1
                self.open += 1
                self.most = max(self.most, self.open)
                self.peer = peer[0]
            threading.Thread(target=self.serve, args=(connection, self.mode), daemon=True).start()

    def serve(self, connection, mode):
        try:
            connection.settimeout(20)
            self.answer(connection, mode)
        except OSError:
            with self.lock:
                self.errors += 1
        finally:
            connection.close()
            with self.lock:
                self.open -= 1

    def read_request(self, connection):
        """Until the client pauses: a check says all it has to say at once."""
        said = b""
        while select.select([connection], [], [], 0.5 if not said else 0.02)[0]:
            data = connection.recv(4096)
            if not data:
                break
            said += data
        with self.lock:
            self.said = said

    def wait_for_end(self, connection):
        while connection.recv(4096):
            pass

    def answer(self, connection, mode):
        if mode == "reset":
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if mode == "hang":
            self.wait_for_end(connection)
            return
        if mode == "banner":
            connection.sendall(b"SSH-2.0-test\r\n")
            self.wait_for_end(connection)
            return
        self.read_request(connection)
        if mode == "close":
            return
        if mode == "ok":
            connection.sendall(PAGE)
        elif mode.isdigit():
            connection.sendall(b"HTTP/1.1 %s Told so\r\nConnection: close\r\n\r\n" % mode.encode())
        elif mode == "bytes":
            for byte in PAGE:
                connection.sendall(bytes([byte]))
                time.sleep(0.001)
        elif mode == "interim":
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            time.sleep(0.01)
            connection.sendall(PAGE)
        elif mode == "page":
            connection.sendall(HEAD + b"\r\n")
            time.sleep(0.01)
            for _ in range(47):
                connection.sendall(b"x" * 1024)
        elif mode == "endless":
            connection.sendall(HEAD + b"\r\n")
            while True:
                connection.sendall(b"x" * 65536)
        elif mode == "open":
            connection.sendall(PAGE)
            self.wait_for_end(connection)
        elif mode == "garbage":
            connection.sendall(b"\x16\x03\x01garbage")
            self.wait_for_end(connection)
        elif mode == "half":
            connection.sendall(b"HTTP/1.")
        elif mode == "pong":
            for part in (b"+", b"PO", b"NG", b"\r\n"):
                connection.sendall(part)
                time.sleep(0.005)
            self.wait_for_end(connection)
        elif mode == "babble":
            for _ in range(64):
                connection.sendall(b"-" * 1024)
            self.wait_for_end(connection)
        else:
            sys.exit("no such mode: " + mode)

    def command(self, words):
        if words[0] == "mode":
            self.mode = words[1]
        elif words[0] == "refuse":
            self.refuse()
        elif words[0] == "listen":
            self.listen()
        elif words[0] == "count":
            with self.lock:
                count, self.count = self.count, 0
            return count
        elif words[0] == "times":
            with self.lock:
                times, self.times = self.times, []
            return " ".join("%.1f" % t for t in times)
        elif words[0] == "said":
            return self.said.hex()
        else:
            return getattr(self, words[0])
        return "ok"


def main():
    server = Server()
    print("ready", server.port, flush=True)
    for line in sys.stdin:
        print(server.command(line.split()), flush=True)


main()
