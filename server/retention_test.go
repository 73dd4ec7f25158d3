package server_test

import (
	"context"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
)

// A server that was down for longer than it believes its clock forgets nothing
// until an operator says that the clock is right.
func TestResumeRetention(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	before, err := semel.Open(t.Context(), disk, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := before.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, disk, semel.Config{MaxClockJump: 1}, server.Options{}, nil)
	if n := s.app.Stats().ShardsPaused; n == 0 || n != s.app.Stats().Shards {
		t.Errorf("retention is paused on %d shards", n)
	}
	for range 2 {
		if r := s.do("POST", "/v1/retention/resume", ""); r.status != 204 || r.body != "" {
			t.Errorf("%+v", r)
		}
	}
	if n := s.app.Stats().ShardsPaused; n != 0 {
		t.Errorf("retention is still paused on %d shards", n)
	}
}
