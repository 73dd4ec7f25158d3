// Command dtm is the server of DTM (github.com/dtm-labs/dtm), with which
// transactions are compared (`go run ./bench/cmd -transactions`): its own
// packages, unchanged, without its page for people and without its drivers for
// service registries, most of what it depends on. It is a module of its own, so
// that none of that comes into Semel's.
//
// Its flags are DTM's, and one more.
package main

import (
	"flag"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/dtm-labs/dtm/client/dtmcli/dtmimp"
	"github.com/dtm-labs/dtm/dtmsvr/entry"
)

// version is what go.mod requires.
const version = "v1.19.0"

// DTM's client of branches keeps as many connections to a host as there are
// processors, and one more; with more callers it opens one for nearly every
// branch.
var idle = flag.Int("idle", 0, "connections to a host of branches that are kept; DTM's own number, if 0")

func main() {
	flag.Parse() // DTM does, too; but what it does then needs the client to be ready
	if *idle > 0 {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, *idle
		dtmimp.GetRestyClient2(0).SetTransport(t)
	}
	v := version
	if app, _ := entry.Main(&v); app == nil {
		return // it was asked for its version, or for help
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	<-end
}
