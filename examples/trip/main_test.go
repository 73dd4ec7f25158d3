package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const want = `order-1, 40000 cents:
  booked: flight of order-1/flight, hotel of order-1/hotel, payment of order-1/payment
  flight   booked
  hotel    booked
  payment  booked
order-2, 900000 cents:
  not booked: rejected_by_provider
  flight   booked, and cancelled again
  hotel    booked, and cancelled again
  payment  refused
the provider's books:
  order-1/flight   booked
  order-1/hotel    booked
  order-1/payment  booked
  order-2/flight   booked, cancelled
  order-2/hotel    booked, cancelled
`

// The example prints what the guide says that it prints.
func TestTrip(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, filepath.Join(t.TempDir(), "data")); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("it printed\n%s", out.String())
	}
	guide, err := os.ReadFile("../../docs/guides/sagas.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "\n```text\n"+want+"```\n") {
		t.Error("docs/guides/sagas.md shows something else")
	}
	for _, file := range []string{"trip.go"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, definition, _ := strings.Cut(string(code), "// define defines")
		if !strings.Contains(string(guide), definition[strings.Index(definition, "func define"):]) {
			t.Errorf("docs/guides/sagas.md shows another definition than %s", file)
		}
	}
}
