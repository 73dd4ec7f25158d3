package webeffect_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/webeffect"
)

// FAULTS 64: a provider that echoes what it got, in every way that is not a
// recorded reply, and a canary in a header, in the query of the URL and in that
// of the probe.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const canary = "canary-8f3a"
	for name, answer := range map[string]string{
		"echo as the answer":  "%s",
		"echo as a status":    "HTTP/1.1 %s\r\n\r\n",
		"echo as a header":    "HTTP/1.1 200 OK\r\n%s: x\r\n\r\n",
		"echo as a length":    "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"echo as a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"echo as a trailer":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
		"echo as an encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"echo in a 503":       "HTTP/1.1 503 %s\r\nContent-Length: 11\r\n\r\ncanary-8f3a",
		"echo as a location":  "HTTP/1.1 302 Found\r\nLocation: /%s\r\nContent-Length: 0\r\n\r\n",
		"no answer":           "",
	} {
		for _, policy := range allPolicies {
			t.Run(name+" "+policy, func(t *testing.T) {
				t.Parallel()
				w := listen(t, func(c net.Conn, r *http.Request) {
					b, err := httputil.DumpRequest(r, true)
					if err != nil || !bytes.Contains(b, []byte(canary)) {
						t.Errorf("the canary did not come: %s, %v", b, err)
					}
					line := strings.NewReplacer("\r\n", " ", "HTTP/1.1", "").Replace(string(b))
					if answer == "%s" {
						line = string(b)
					}
					_, _ = io.WriteString(c, strings.ReplaceAll(answer, "%s", line))
				})
				spec := webeffect.Spec{
					URL: w.url + "/?token=" + canary, Policy: policy, Attempts: 2, AllowPrivate: true, Timeout: 100 * time.Millisecond,
					Headers: map[string]string{"Authorization": "Bearer " + canary},
				}
				if policy == "probe" {
					spec.ProbeURL = spec.URL + "&k={key}"
				}
				checkCanary(t, canary, spec)
			})
		}
	}
	t.Run("not sent", func(t *testing.T) {
		for _, to := range []string{refusing(t), "https://127.0.0.1:1", "http://169.254.169.254", "http://no.such.host.invalid"} {
			for _, allow := range []bool{true, false} {
				if to == "http://169.254.169.254" && allow {
					continue // it may be there
				}
				checkCanary(t, canary, webeffect.Spec{
					URL: to + "/?token=" + canary, Attempts: 2, AllowPrivate: allow, Timeout: 5 * time.Second,
					Headers: map[string]string{"Authorization": "Bearer " + canary},
				})
			}
		}
	})
}

// checkCanary makes a call and looks for the canary in all that is told of it.
func checkCanary(t *testing.T, canary string, spec webeffect.Spec) {
	t.Helper()
	var log lockedBuffer
	app := openWith(t, mem.New(), specs{"pay": spec}, nil, &log)
	o, err := call(t, app, "pay", "k", "1")
	if err == nil {
		t.Errorf("it is done: %s", o.Reply)
	}
	told := fmt.Sprintf("%v %+v %#v", err, err, err)
	tell := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		told += string(b)
	}
	tell(o)
	for e, err := range app.Effects(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		tell(e)
	}
	for e, err := range app.Outcomes(t.Context(), semel.AgentName{Type: webeffect.AgentType, ID: "pay"}) {
		if err != nil {
			t.Error(err)
		}
		tell(e)
	}
	for d, err := range app.DeadLetters(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		tell(d)
	}
	if told += log.String(); strings.Contains(told, canary) {
		t.Errorf("the canary is in: %s", told)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
