package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
)

// maxWait is the longest wait that a request may prefer.
const maxWait = 5 * time.Minute

// preference is what a request prefers (RFC 7240).
type preference struct {
	wait  time.Duration // zero if it says nothing
	async bool          // respond-async: to be answered when the call is accepted
}

// preferenceOf reads the header Prefer. What it does not understand it ignores,
// as the RFC says.
func preferenceOf(h http.Header) (p preference) {
	for _, value := range h.Values("Prefer") {
		for item := range strings.SplitSeq(value, ",") {
			item, _, _ = strings.Cut(item, ";")
			name, arg, _ := strings.Cut(strings.TrimSpace(item), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(arg), `"`), 10, 32); err == nil && p.wait == 0 {
					p.wait = min(max(time.Duration(n)*time.Second, time.Second), maxWait)
				}
			}
		}
	}
	return p
}

// patience bounds the work of a request by its preference, or by the server's
// own, and sees to it that the connection lasts as long.
func (s *api) patience(w http.ResponseWriter, r *http.Request, p preference) (context.Context, context.CancelFunc) {
	wait, ctx := s.Wait, r.Context()
	if r.Header.Get("Traceparent") != "" { // W3C Trace Context: the caller's trace goes on
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if p.wait > 0 && !p.async {
		wait = p.wait
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
		if wait > s.Wait {
			// Fails only where there is no deadline.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + writeGrace))
		}
	}
	return context.WithTimeout(ctx, wait)
}

// noDeadline lets a response take its time.
var noDeadline time.Time

// writeGrace is how long a response may take to be written once it is known.
const writeGrace = 60 * time.Second
