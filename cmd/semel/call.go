package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/message"
)

// callOptions are those of the verbs that call.
type callOptions struct {
	remote
	key   string
	wait  time.Duration
	async bool
}

// callJSON is how a call is printed with --json.
type callJSON struct {
	Agent    string          `json:"agent"`
	Action   string          `json:"action"`
	Key      string          `json:"key"`
	Status   string          `json:"status"` // done, or in_flight with --async
	Replayed bool            `json:"replayed"`
	Attempts int             `json:"attempts,omitempty"`
	Reply    json.RawMessage `json:"reply,omitempty"`
	Outcome  string          `json:"outcome,omitempty"`
}

func callCommand() *cobra.Command {
	var o callOptions
	cmd := &cobra.Command{
		Use:   "call AGENT ACTION [BODY|-|@FILE]",
		Short: "Call an action, so that it takes effect once",
		Long: `Call an action of an agent, so that it takes effect once.

The reply is printed on standard output. The call is repeated with its key while
its connection breaks or the server is busy. Without --key one is made, which is
told on standard error: repeat the command with it, and the call is not done twice.`,
		Example: `  semel call account/alice credit '{"cents":1000}' --key pay-1
  semel call account/alice transfer @transfer.json --key t-1 --async`,
		Args: cobra.RangeArgs(2, 3),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			body, err := bodyArg(args[2:])
			if err != nil {
				return err
			}
			return o.call(ctx, s, client.Request{Agent: args[0], Action: args[1], Body: body})
		}),
	}
	o.flags(cmd.Flags())
	o.callFlags(cmd)
	return cmd
}

func (o *callOptions) callFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "the idempotency `key`: the same for every repetition of this call")
	f.DurationVar(&o.wait, "wait", 0, "how `long` to wait for the outcome; 0 means as long as it takes")
	f.BoolVar(&o.async, "async", false, "do not wait for the outcome, only until the call is durably accepted")
	cmd.MarkFlagsMutuallyExclusive("wait", "async")
}

// call makes a call and prints what became of it.
func (o *callOptions) call(ctx context.Context, s *session, r client.Request) error {
	made := o.key == ""
	if r.Key = o.key; made {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		r.Key = id.String()
		// Before it is sent, and with --json too: whatever happens then, even
		// to this process, the call can be repeated.
		fmt.Fprintln(s.err, "key", r.Key)
	}
	if o.wait < 0 {
		return usageError{fmt.Errorf("--wait %v: it must not be negative", o.wait)}
	}
	if o.wait > 0 {
		// A little longer than the server is asked to wait, so that it can say
		// that the call is in flight.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.wait+500*time.Millisecond)
		defer cancel()
	}
	if o.async {
		return o.submit(ctx, s, r, made)
	}
	var reply client.Reply
	var err error
	if name, effect := strings.CutPrefix(r.Agent, "effects/"); effect {
		reply, err = s.Effect(ctx, name, r.Key, r.Body)
	} else {
		reply, err = s.Call(ctx, r)
	}
	return printReply(s, r, reply, made, err)
}

func (o *callOptions) submit(ctx context.Context, s *session, r client.Request, made bool) error {
	t, err := s.Submit(ctx, r)
	switch {
	case err != nil || t.Settled:
		return printReply(s, r, t.Reply, made, err)
	case s.json:
		err = s.object(callJSON{Agent: r.Agent, Action: r.Action, Key: r.Key, Status: message.StatusInFlight.String(), Outcome: t.Outcome})
	default:
		s.note("accepted; `semel explain %s %s` says where it stands", quoteArg(r.Agent), quoteArg(r.Key))
		err = s.line("%s", s.paint(message.StatusInFlight.String()))
	}
	if err != nil {
		return callFailure(r, client.Reply{}, made, afterwardsError{"accepted", "printing so", err})
	}
	return nil
}

func printReply(s *session, r client.Request, reply client.Reply, made bool, err error) error {
	if err != nil {
		if reply.Replayed {
			s.note("replayed: this outcome was recorded before")
		}
		return callFailure(r, reply, made, err)
	}
	if s.json {
		err = s.object(callJSON{Agent: r.Agent, Action: r.Action, Key: r.Key, Status: message.StatusDone.String(),
			Replayed: reply.Replayed, Attempts: reply.Attempts, Reply: reply.Body})
	} else {
		if reply.Replayed {
			s.note("replayed: it was done before, and not again")
		}
		err = s.line("%s", printableLines(string(reply.Body)))
	}
	if err = printed(err); err != nil {
		return callFailure(r, reply, made, err)
	}
	return nil
}

// callFailure is the failure of a call, with its key and what to do next.
func callFailure(r client.Request, reply client.Reply, made bool, err error) error {
	call := callError{err, r.Agent, r.Key, made, reply.Replayed}
	return nextStep{call, advice(err, call)}
}

// bodyArg is a body given as an argument: JSON, - for standard input, or @FILE.
// None is null.
func bodyArg(args []string) (json.RawMessage, error) {
	if len(args) == 0 {
		return nil, nil
	}
	arg := args[0]
	var b []byte
	var err error
	switch name, file := strings.CutPrefix(arg, "@"); {
	case arg == "-":
		b, err = io.ReadAll(os.Stdin)
	case file:
		b, err = os.ReadFile(name)
	default:
		b = []byte(arg)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("the body %s cannot be read: %w", arg, err)}
	}
	if err := message.CheckJSON(b); err != nil {
		return nil, usageError{fmt.Errorf("the body is not JSON: %w; nothing was sent. A text needs its quotation marks: '\"text\"'", err)}
	}
	return b, nil
}
