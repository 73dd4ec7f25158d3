package main

import (
	"io"
	"log/slog"
)

// newLog makes the log of a configuration that was checked.
func newLog(w io.Writer, c logConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// warn tells what is allowed and still worth a look.
func (u *usable) warn(log *slog.Logger) {
	for _, w := range u.warnings {
		log.Warn(w.Text, "name", w.From)
	}
	if u.InsecurePublic {
		if missing := u.unprotected(); missing != "" {
			log.Warn("insecure_public is set", "missing", missing)
		}
	}
}
