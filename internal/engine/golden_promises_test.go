package engine_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/engine"
)

// The scene of promises: an agent is prepared, and has promised all that a step can;
// of another a prepare waits in the mailbox whose transaction was aborted meanwhile;
// and an effect was withdrawn that stays in doubt.
var promises = scene{
	versions: []string{"v1-promises"},
	contents: "promises.txt",
	make:     makePromises,
	rests:    promisesRest,
	goOn: func(g golden) {
		g.does("coordinator", "commit", "commit", deed{What: "kept", To: "prepared"}, false)
		g.await(func(g golden) bool { return strings.Contains(g.state("coordinator"), "decided kept") })
		g.does("coordinator", "abort", "abort", deed{What: "dropped", To: crowded()}, false)
	},
	over: func(g golden) bool {
		heard := g.state("coordinator")
		return g.idle() && strings.Count(heard, "decided ") == 3 && strings.Count(heard, "voted ") == 3 &&
			strings.Contains(g.state("prepared"), "tick kept") && strings.Contains(g.state(told()), "note kept") && strings.Contains(g.state("prepared"), "paid kept")
	},
}

// crowded is an agent beside the one that is prepared, and told one that is not.
func crowded() string { return sameShard("prepared", "crowded", true) }
func told() string    { return sameShard("prepared", "told", false) }

// promisesRest says whether nothing is left but what waits for a decision or a person.
func promisesRest(g golden) bool {
	s := g.e.Stats()
	return s.Effects == 1 && s.OutboxLag == 0 && s.QueueLength == 0 && s.CallsInFlight == 0
}

func makePromises(t *testing.T, fsys *vfs.MemFS) (left *vfs.MemFS, between engine.Position) {
	g := openGolden(t, fsys, life{now: goldenDied})
	g.does("prepared", "note", "before", deed{What: "before"}, false)
	doubt := g.does("regretful", "pay", "regretted", deed{What: "doubtful", Effect: "ask"}, false).Outcome.Doubt
	g.does("regretful", "withdraw", "withdrawn", deed{What: doubt.String()}, false)
	for _, tx := range []deed{{What: "kept", To: "prepared"}, {What: "dropped", To: crowded()}, {What: "void", To: crowded()}} {
		g.does("coordinator", "prepare", "prepare-"+tx.What, tx, false)
	}
	g.await(func(g golden) bool { return strings.Count(g.state("coordinator"), "voted ") == 2 })
	g.does("coordinator", "abort", "abort-void", deed{What: "void", To: crowded()}, false)
	g.await(func(g golden) bool {
		return strings.Contains(g.state("coordinator"), "decided void") && strings.Contains(g.state("regretful"), "paid doubtful: unknown") && promisesRest(g)
	})
	g.does("prepared", "note", "waits", deed{What: "it waits"}, true)
	left = copyOf(t, fsys)
	g.close()
	return left, between
}
