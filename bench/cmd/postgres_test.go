package main

import (
	"flag"
	"io"
	"testing"
)

func TestPostgresFlag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want server
		rest string
	}{
		{nil, server{}, ""},
		{[]string{"-postgres"}, server{chosen: true}, ""},
		{[]string{"-postgres", "-x", "postgres://db"}, server{chosen: true}, "postgres://db"},
		{[]string{"-postgres=postgres://db", "-x"}, server{chosen: true, url: "postgres://db"}, ""},
		{[]string{"-postgres=false"}, server{}, ""},
	} {
		var s server
		f := flag.NewFlagSet("", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		f.Var(&s, "postgres", "")
		f.Bool("x", false, "")
		if err := f.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if s != c.want || f.Arg(0) != c.rest {
			t.Errorf("%q: %+v and %q", c.args, s, f.Arg(0))
		}
	}
}
