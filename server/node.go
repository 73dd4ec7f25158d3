package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/semel-dev/semel"
)

// The nodes of a cluster ask each other over HTTP, below one path, with a secret
// that all of them know: it is worth as much as the database's password.

const (
	nodePath   = "/v1/node"
	nodeScheme = "Semel-Node "
	// patienceHeader is how many milliseconds the asking node waits.
	patienceHeader = "Semel-Patience"
	// refusedHeader says that the node itself did not look at the question.
	refusedHeader = "Semel-Node-Refused"
	// nodeBody bounds a question and an answer, in bytes: the largest unit's
	// worth of rows, as JSON.
	nodeBody = 256 << 20
)

// AskNodes returns what semel.Cluster.Ask is to be where the nodes serve
// Handler with the same Options.NodeSecret. An address is the URL of a node's
// server. A nil client has timeouts of its own for connecting only: how long an
// answer takes is the caller's matter.
func AskNodes(secret string, client *http.Client) func(ctx context.Context, address string, question []byte) ([]byte, error) {
	if client == nil {
		client = newNodeClient()
	}
	return func(ctx context.Context, address string, question []byte) ([]byte, error) {
		to, err := url.JoinPath(address, nodePath)
		if err == nil {
			err = ctx.Err() // no transport would say that nothing was sent
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", semel.ErrNodeNotAsked, address, err)
		}
		// The body is given in a way that no transport sends twice by itself.
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, io.NopCloser(bytes.NewReader(question)))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", semel.ErrNodeNotAsked, err)
		}
		req.ContentLength = int64(len(question))
		req.Header.Set("Authorization", nodeScheme+secret)
		req.Header.Set("Content-Type", "application/json")
		if end, ok := ctx.Deadline(); ok {
			req.Header.Set(patienceHeader, strconv.FormatInt(max(time.Until(end).Milliseconds(), 1), 10))
		}
		return askNode(client, req)
	}
}

func askNode(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		if notConnected(err) {
			err = fmt.Errorf("%w: %w", semel.ErrNodeNotAsked, err)
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answered %s; the nodes need the same secret and version, and no proxy between them", req.URL.Host, resp.Status)
		if resp.Header.Get(refusedHeader) != "" { // else it may be of a proxy, behind which the node did it
			err = fmt.Errorf("%w: %w", semel.ErrNodeNotAsked, err)
		}
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, nodeBody+1))
	if err == nil && len(b) > nodeBody {
		err = errors.New("the answer is too large")
	}
	return b, err
}

// node is POST /v1/node.
func (s *api) node(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int) {
		w.Header().Set(refusedHeader, "true")
		w.WriteHeader(status)
	}
	switch {
	case r.Method != http.MethodPost:
		refuse(http.StatusMethodNotAllowed)
		return
	case !s.isNode(r.Header.Get("Authorization")):
		refuse(http.StatusUnauthorized)
		return
	}
	question, err := io.ReadAll(http.MaxBytesReader(w, r.Body, nodeBody))
	if err != nil {
		refuse(http.StatusBadRequest)
		return
	}
	ctx := r.Context()
	if ms, err := strconv.ParseInt(r.Header.Get(patienceHeader), 10, 64); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	answer := s.app.AnswerNode(ctx, question)
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(answer); err != nil {
		s.Logger.Debug("an answer to another node was lost", "error", err)
	}
}

// isNode compares the secrets in a time that tells nothing of them.
func (s *api) isNode(authorization string) bool {
	want, got := sha256.Sum256([]byte(nodeScheme+s.NodeSecret)), sha256.Sum256([]byte(authorization))
	return s.NodeSecret != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
