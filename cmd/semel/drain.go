package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
)

// drainTime bounds an orderly stop. Orchestrators commonly kill after 30 s.
const drainTime = 25 * time.Second

// leaveTime is how much of it other servers of a cluster have to take the shards.
const leaveTime = 10 * time.Second

// answerTime is how long what is under way may take to be answered as if
// nothing were.
const answerTime = 5 * time.Second

// newServer bounds what a slow or hostile client can hold (FAULTS 63).
func newServer(h http.Handler, wait time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      wait + 60*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		// Over TLS a client may send to many streams at once; what waits for its
		// handler is bounded by connection, as it is without streams.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          100,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
		},
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.Background() },
	}
}

// drain answers what is under way, then closes the store. What was accepted
// and is not finished when the time is over goes on at the next start.
func drain(srv *http.Server, app *semel.App, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	leaving, left := context.WithTimeout(ctx, leaveTime)
	if err := app.Leave(leaving); err != nil {
		log.Warn("not all shards were given to other servers; they take them when this one has ended", "error", err)
	}
	left()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if err := srv.Shutdown(ctx); err != nil {
			log.Warn("some connections were cut", "error", err)
			_ = srv.Close() // they are cut either way
		}
	}()
	select {
	case <-answered:
	case <-time.After(answerTime):
		// Closing tells the callers that still wait, for something slow, where
		// their calls stand; and they have to hear it.
	}
	err := app.Close(ctx)
	<-answered
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("not everything under way was finished; it goes on at the next start", "error", err)
		if onlyLate(err) {
			err = nil
		}
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// onlyLate says whether an error, with all that is joined in it, says nothing
// but that the time was over.
func onlyLate(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !onlyLate(err) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return onlyLate(e.Unwrap())
	}
	return err == context.DeadlineExceeded
}
