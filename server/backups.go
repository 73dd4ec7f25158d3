package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/semel-dev/semel/message"
)

// backupDoc names a backup.
type backupDoc struct {
	Name string `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$" doc:"of a directory that does not exist yet, below the configured one"`
}

type backupMadeDoc struct {
	Backup string `json:"backup"`
}

var backupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// backup is POST /v1/backups. It may take as long as it takes: the request's
// own end is its bound.
func (s *api) backup(w http.ResponseWriter, r *http.Request) {
	if s.Backups == "" {
		s.refuse(w, codeNotFound, "no directory for backups is configured")
		return
	}
	var doc backupDoc
	if !s.document(w, r, s.MaxBody, &doc) {
		return
	}
	if !backupName.MatchString(doc.Name) {
		s.refuse(w, message.CodeInvalidRequest, "a backup's name is letters, digits, '_', '.' and '-', at most 100, and begins with a letter or a digit")
		return
	}
	if err := os.MkdirAll(s.Backups, 0o700); err != nil {
		s.fail(w, r, err)
		return
	}
	dir := filepath.Join(s.Backups, doc.Name)
	exists := func() {
		s.refuse(w, codeExists, "there is a backup "+doc.Name+" already; choose another name")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		exists() // also what is no backup at all
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(noDeadline) // fails only where there is none
	// Whoever asked may go away; a copy that was begun is of use all the same.
	switch err := s.app.Backup(context.WithoutCancel(r.Context()), dir); {
	case errors.Is(err, fs.ErrExist): // somebody was faster
		exists()
	case err != nil:
		s.fail(w, r, err)
	default:
		writeStatus(w, http.StatusCreated, backupMadeDoc{doc.Name})
	}
}
