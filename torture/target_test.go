package torture

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A command that kills nobody is no kill, and one that returns before the server
// is gone is waited for.
func TestATargetIsGoneAfterTheKill(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("without a shell there is no --kill-with")
	}
	const never = 1 << 30
	for _, c := range []struct {
		name  string
		tells bool // when its process began
		gone  int32
		with  string
		err   string
	}{
		{"a kill of nothing", true, never, "true", "is the same process still"},
		{"a kill of nothing, of a server that does not say when it began", false, never, "true", "is the same process still"},
		{"a kill that fails", true, never, "exit 3", "exit status 3"},
		{"the next process is there at once", true, 2, "true", ""},
		{"the server goes later", true, 20, "true", ""},
		{"the server goes later, and does not say when it began", false, 20, "true", ""},
		{"the command takes longer than all else", true, 2, "sleep 0.3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/metrics" && r.Header.Get("Authorization") != "Bearer secret":
					w.WriteHeader(http.StatusUnauthorized)
				case r.URL.Path == "/metrics" && c.tells:
					at := 1.7e9
					if asked.Add(1) >= c.gone {
						at += 0.25
					}
					fmt.Fprintf(w, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %v\n", at)
				case r.URL.Path == "/metrics":
					http.NotFound(w, r)
				case asked.Add(1) == c.gone:
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			defer server.Close()
			patience := 50 * time.Millisecond
			if c.err == "" {
				patience = time.Minute
			}
			k := &keeper{url: server.URL, token: "secret", log: t.Output(), killWith: c.with, killTime: patience}
			err := k.killTarget(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil || asked.Load() < c.gone {
				t.Errorf("%v, and it was asked %d times", err, asked.Load())
			}
		})
	}
}
