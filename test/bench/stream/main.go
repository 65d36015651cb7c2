// Stream measures how fast TCP is between two machines. It needs nothing but
// itself, so that it runs in a guest that has no more than a shell.
//
//	stream serve ADDRESS           serves until it is killed; says where
//	stream send ADDRESS DURATION   sends for so long, and says how fast
//	stream take ADDRESS DURATION   receives for so long, and says how fast
//
// What it says is in bytes a second.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// chunk is how many bytes are written or read at once.
const chunk = 256 << 10

// What a client wants to do, which is the first byte that it sends.
const (
	send = 's'
	take = 't'
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "serve" {
		return serve(args[1])
	}
	if len(args) != 3 || args[0] != "send" && args[0] != "take" {
		return errors.New("usage: stream serve ADDRESS | stream send|take ADDRESS DURATION")
	}
	length, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	// A stream that comes to a stand fails.
	if err := conn.SetDeadline(time.Now().Add(length + 30*time.Second)); err != nil {
		return err
	}
	begin := time.Now()
	var bytes int64
	if args[0] == "send" {
		bytes, err = sendFor(conn.(*net.TCPConn), length)
	} else {
		bytes, err = takeFor(conn, length)
	}
	if err != nil {
		return err
	}
	fmt.Printf("%.0f\n", float64(bytes)/time.Since(begin).Seconds())
	return nil
}

// sendFor sends, and returns when the server has everything.
func sendFor(conn *net.TCPConn, length time.Duration) (int64, error) {
	end := time.Now().Add(length)
	data := make([]byte, chunk)
	data[0] = send
	var bytes int64
	for time.Now().Before(end) {
		n, err := conn.Write(data)
		if err != nil {
			return 0, err
		}
		bytes += int64(n)
	}
	if err := conn.CloseWrite(); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("the server has not got everything: %w", err)
	}
	return bytes, nil
}

// takeFor receives.
func takeFor(conn net.Conn, length time.Duration) (int64, error) {
	end := time.Now().Add(length)
	if _, err := conn.Write([]byte{take}); err != nil {
		return 0, err
	}
	data := make([]byte, chunk)
	var bytes int64
	for time.Now().Before(end) {
		n, err := conn.Read(data)
		if err != nil {
			return 0, err
		}
		bytes += int64(n)
	}
	return bytes, nil
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go answer(conn)
	}
}

// answer does what a client wants until it hangs up.
func answer(conn net.Conn) {
	defer conn.Close()
	data := make([]byte, chunk)
	n, err := conn.Read(data)
	if err != nil || n == 0 {
		return
	}
	wish := data[0]
	for err == nil {
		if wish == take {
			_, err = conn.Write(data)
		} else {
			_, err = conn.Read(data)
		}
	}
	if err == io.EOF {
		_, _ = conn.Write([]byte{send}) // who has gone needs no answer
	}
}
