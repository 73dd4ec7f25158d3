package outbox

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Sink is where messages are delivered. Deliver gets messages that may leave,
// those of one key in their order, and returns what became of each, in the same
// order. It must keep the order within a key: a message may be sent only after
// the ones before it with the same key were Done or Refused. What it did not try
// it leaves at the zero Result. Results behind the end are that, too.
//
// Deliver returns when ctx ends: then the relay's lease is about to. A panic of it
// counts as Unknown. It is called
// by several goroutines at once, for different keys. The messages are its to read
// until it returns.
//
// ByKey makes a Sink of a function for one message; ByTopic divides between sinks.
type Sink interface {
	Deliver(ctx context.Context, messages []Message) []Result
}

// Verdict is what became of a message.
type Verdict uint8

const (
	// NotTried: nothing was done about it, and it counts as no attempt.
	NotTried Verdict = iota
	// Done: the receiver has it.
	Done
	// NotDone: the receiver does not have it. It is tried again later.
	NotDone
	// Unknown: it may have arrived. It is tried again later, with the same id.
	Unknown
	// Refused: the receiver will never take it. It becomes a dead letter.
	Refused
)

// String is the verdict's name.
func (v Verdict) String() string {
	if names := []string{"not tried", "done", "not done", "unknown", "refused"}; int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// Result of delivering a message.
type Result struct {
	Verdict Verdict
	Err     error         // why it is not Done; recorded, cut at 1,000 bytes
	After   time.Duration // the receiver asks to wait that long at least
}

// SinkFunc is a function as a Sink.
type SinkFunc func(ctx context.Context, messages []Message) []Result

// Deliver calls the function.
func (f SinkFunc) Deliver(ctx context.Context, messages []Message) []Result { return f(ctx, messages) }

// ByKey makes a Sink that delivers one message at a time per key, and at most
// parallel at once.
func ByKey(parallel int, deliver func(ctx context.Context, m Message) Result) Sink {
	parallel = max(parallel, 1)
	return SinkFunc(func(ctx context.Context, messages []Message) []Result {
		results := make([]Result, len(messages))
		var wait sync.WaitGroup
		room := make(chan struct{}, parallel)
		for _, run := range Runs(messages) {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
			wait.Go(func() {
				defer func() { <-room }()
				for i := run[0]; i < run[1] && ctx.Err() == nil; i++ {
					results[i] = guardedOne(ctx, deliver, messages[i])
					if v := results[i].Verdict; v != Done && v != Refused {
						return
					}
				}
			})
		}
		wait.Wait()
		return results
	})
}

// guarded calls a sink. A panic is an attempt of which nobody knows the end: a
// message that causes one waits, or becomes a dead letter, and ends no program.
func guarded(ctx context.Context, sink Sink, messages []Message) (results []Result) {
	defer func() {
		if v := recover(); v != nil {
			results = make([]Result, len(messages))
			for i := range results {
				results[i] = panicked(v)
			}
		}
	}()
	return sink.Deliver(ctx, messages)
}

// deliverAt hands a sink the messages at some places, and puts what became of them
// at the same places. What the sink says of more than it got does not count.
func deliverAt(ctx context.Context, sink Sink, messages []Message, at []int, results []Result) {
	part := make([]Message, len(at))
	for i, place := range at {
		part[i] = messages[place]
	}
	for i, r := range guarded(ctx, sink, part) {
		if i < len(at) {
			results[at[i]] = r
		}
	}
}

// deliverSound hands a sink the messages that can be read. The others never will
// be, by nobody: they are refused in the sink's name, or they would keep waiting
// all that is behind them.
func deliverSound(ctx context.Context, sink Sink, messages []Message) []Result {
	results := make([]Result, len(messages))
	sound := make([]int, 0, len(messages))
	for i := range messages {
		if err := messages[i].damage; err != nil {
			results[i] = Result{Verdict: Refused, Err: err}
			continue
		}
		sound = append(sound, i)
	}
	if len(sound) > 0 {
		deliverAt(ctx, sink, messages, sound, results)
	}
	return results
}

func guardedOne(ctx context.Context, deliver func(context.Context, Message) Result, m Message) (r Result) {
	defer func() {
		if v := recover(); v != nil {
			r = panicked(v)
		}
	}()
	return deliver(ctx, m)
}

func panicked(v any) Result {
	return Result{Verdict: Unknown, Err: fmt.Errorf("the sink panicked: %v\n%s", v, debug.Stack())}
}

// Runs divides the messages of a Deliver by their order: each run, from its first
// index to before its second, is of one key, or of one message that has none.
func Runs(messages []Message) [][2]int {
	var runs [][2]int
	for i := 0; i < len(messages); {
		j := i + 1
		for j < len(messages) && messages[j].okey == messages[i].okey {
			j++
		}
		runs = append(runs, [2]int{i, j})
		i = j
	}
	return runs
}

// ByTopic makes a Sink that hands messages to the sink of their topic, at the
// same time. A topic without one is the other sink's; if that is nil, its
// messages are tried again until somebody gives it one.
func ByTopic(sinks map[string]Sink, other Sink) Sink {
	return SinkFunc(func(ctx context.Context, messages []Message) []Result {
		places := make(map[string][]int)
		for i := range messages {
			places[messages[i].Topic] = append(places[messages[i].Topic], i)
		}
		results := make([]Result, len(messages))
		var wait sync.WaitGroup
		for topic, at := range places {
			sink, found := sinks[topic]
			if !found {
				sink = other
			}
			wait.Go(func() {
				if sink == nil {
					for _, place := range at {
						results[place] = Result{Verdict: NotDone, Err: fmt.Errorf("no sink for the topic %q", topic)}
					}
					return
				}
				deliverAt(ctx, sink, messages, at, results)
			})
		}
		wait.Wait()
		return results
	})
}
