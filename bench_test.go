package semel_test

import (
	"fmt"
	"testing"

	"github.com/semel-dev/semel"
)

// BenchmarkCallAll measures what the API and the machine cost without a disk.
func BenchmarkCallAll(b *testing.B) { benchmarkCallAll(b, semel.Config{}) }

// BenchmarkCallAllWithFeed is the same with a change feed that nobody follows.
func BenchmarkCallAllWithFeed(b *testing.B) { benchmarkCallAll(b, semel.Config{ChangeFeed: true}) }

func benchmarkCallAll(b *testing.B, cfg semel.Config) {
	for name, register := range map[string]func(*semel.App) func(id string, n int) semel.Request{
		"flat state": func(app *semel.App) func(string, int) semel.Request {
			debit := semel.On(semel.NewAgent[Account](app, "account"), "debit", (*Account).Debit)
			return func(id string, n int) semel.Request {
				return debit.Request(id, Debit{Cents: -1}, semel.Key(fmt.Sprint("k", n)))
			}
		},
		"deep state": func(app *semel.App) func(string, int) semel.Request {
			type state struct {
				Cents int64
				Tags  map[string]string
			}
			set := semel.On(semel.NewAgent[state](app, "account"), "set", func(st *state, s *semel.Step, n int64) (int64, error) {
				if st.Tags == nil {
					st.Tags = map[string]string{"a": "some text", "b": "some more text"}
				}
				st.Cents += n
				return st.Cents, nil
			})
			return func(id string, n int) semel.Request { return set.Request(id, 1, semel.Key(fmt.Sprint("k", n))) }
		},
	} {
		b.Run(name, func(b *testing.B) {
			app := open(b, nil, cfg)
			request := register(app)
			ids := make([]string, 10_000)
			for i := range ids {
				ids[i] = fmt.Sprint("agent", i)
			}
			b.ReportAllocs()
			const size = 256
			requests := make([]semel.Request, 0, size)
			for n := 0; b.Loop(); n++ {
				requests = append(requests, request(ids[n*7919%len(ids)], n))
				if len(requests) == size {
					for _, a := range app.CallAll(b.Context(), requests) {
						if a.Err != nil {
							b.Fatal(a.Err)
						}
					}
					requests = requests[:0]
				}
			}
		})
	}
}
