// Programs of left_alone.sh in Go: a TCP copier, an HTTP server, an echo server and a client.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func serve(address string, handle func(*net.TCPConn)) {
	listener, err := net.Listen("tcp", address)
	must(err)
	for {
		conn, err := listener.Accept()
		must(err)
		go handle(conn.(*net.TCPConn))
	}
}

// io.Copy between two TCP connections is splice(2).
func copyTo(to string) func(*net.TCPConn) {
	return func(down *net.TCPConn) {
		conn, err := net.Dial("tcp", to)
		must(err)
		up := conn.(*net.TCPConn)
		go func() {
			io.Copy(up, down)
			up.CloseWrite()
		}()
		io.Copy(down, up)
		down.CloseWrite()
	}
}

func echo(conn *net.TCPConn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			break
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			break
		}
	}
	conn.Close()
}

// Turns of 64 bytes until the file is there, then so many bytes there and back.
func client(address, until string, size int) {
	conn, err := net.Dial("tcp", address)
	must(err)
	turn := make([]byte, 64)
	for {
		_, err = conn.Write(turn)
		must(err)
		_, err = io.ReadFull(conn, turn)
		must(err)
		if _, err = os.Stat(until); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i*i>>8 ^ i)
	}
	go func() {
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
	}()
	received, err := io.ReadAll(conn)
	must(err)
	if !bytes.Equal(sent, received) {
		log.Fatalf("%d bytes sent, %d received, or others", len(sent), len(received))
	}
}

func hash(answer http.ResponseWriter, request *http.Request) {
	sum := sha256.New()
	_, err := io.Copy(sum, request.Body)
	must(err)
	io.WriteString(answer, hex.EncodeToString(sum.Sum(nil)))
}

func main() {
	switch os.Args[1] {
	case "copier":
		serve(os.Args[2], copyTo(os.Args[3]))
	case "echo":
		serve(os.Args[2], echo)
	case "client":
		size, err := strconv.Atoi(os.Args[4])
		must(err)
		client(os.Args[2], os.Args[3], size)
	case "http":
		must(http.ListenAndServe(os.Args[2], http.HandlerFunc(hash)))
	}
}
