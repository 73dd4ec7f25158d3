package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// Whoever hears that nobody speaks to him any more aborts what is under way, at
// the end too, and writes down what became of each request before he ends.
func TestClientsEndWithTheConversation(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"", "drain\n"} {
		arrived := make(chan struct{}, 100)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil { // so that the end of the connection is noticed
				return
			}
			arrived <- struct{}{}
			<-r.Context().Done()
		}))
		defer server.Close()
		in, tell := io.Pipe()
		file := filepath.Join(t.TempDir(), "client-0.jsonl")
		config, err := json.Marshal(loaderConfig{File: file, Epoch: time.Now().UnixNano(), URL: server.URL, Run: "t", Callers: 4, Clients: 4})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- Part(partClient, in, io.Discard) }()
		if _, err := fmt.Fprintf(tell, "%s\nload\n", config); err != nil {
			t.Fatal(err)
		}
		<-arrived
		if _, err := io.WriteString(tell, last); err != nil {
			t.Fatal(err)
		}
		if err := tell.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(requestTime / 2):
			t.Fatalf("%q: it goes on with nobody to hear it", last)
		}
		open := make(map[string]bool)
		all := written(t, file)
		for _, r := range all {
			if open[r.ID] = r.Type == check.Invoke; r.ID == "" {
				delete(open, "")
			}
		}
		for id, yes := range open {
			if yes {
				t.Errorf("%q: what became of the request %s is not written down", last, id)
			}
		}
		if end := all[len(all)-1]; end.Type != check.End || end.Lines != len(all)-1 {
			t.Errorf("%q: the last of %d lines is %+v", last, len(all), end)
		}
	}
}
