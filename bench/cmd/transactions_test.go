package main

import (
	"slices"
	"testing"
)

func TestNumbersFlag(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]int{"1": {1}, "1,16, 64": {1, 16, 64}, "": nil, "0": nil, "1,,2": nil, "1,many": nil, "1000000": nil} {
		var n numbers
		if err := n.Set(value); (err == nil) != (want != nil) || err == nil && !slices.Equal(n, want) {
			t.Errorf("%q is %v (%v), and should be %v", value, n, err, want)
		}
	}
}
