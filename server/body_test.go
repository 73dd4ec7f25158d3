package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

// FAULTS 63: what will not be read is refused before it comes, and the
// connection is not used again.
func TestCompressedBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	for _, path := range []string{"/v1/agents/account/a/credit", "/v1/calls"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n")
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := readAll(t, res)
		wantProblem(t, r, 415, "unsupported_media_type", "not_done")
		if !res.Close {
			t.Error("the connection goes on")
		}
	}
}
