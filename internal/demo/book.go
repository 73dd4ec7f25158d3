package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// Charge is a line of the provider's ledger, and what it answers.
type Charge struct {
	Receipt string `json:"receipt"`
	Invoice string `json:"invoice"`
	Cents   int64  `json:"cents"`
	Key     string `json:"key"` // the Idempotency-Key that it came with
}

// book is the provider's ledger: a file of JSON lines. What append returned for
// is on the disk. One goroutine uses it.
type book struct{ f *os.File }

func createBook(name string) (*book, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &book{f}, nil
}

func (b *book) append(c Charge) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := b.f.Write(append(line, '\n')); err != nil {
		return err
	}
	return b.f.Sync()
}

// readBook reads a ledger, as anybody can who may see the file.
func readBook(name string) ([]Charge, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []Charge
	for line := range bytes.Lines(text) {
		var c Charge
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, fmt.Errorf("%s: the line %q: %w", name, line, err)
		}
		all = append(all, c)
	}
	return all, nil
}
