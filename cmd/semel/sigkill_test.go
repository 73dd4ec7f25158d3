package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// killing is a server that is killed again and again, and started again at
// once on the same directory and address.
type killing struct {
	t    *testing.T
	dir  string
	addr string

	mu     sync.Mutex
	cmd    *exec.Cmd
	up     chan struct{} // closed while the server is up
	stderr *bytes.Buffer
}

// fixedPort finds a port that nobody will take while the server is down: one
// below those that the system gives to outgoing connections.
func fixedPort(t *testing.T, rng *rand.Rand) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rng.IntN(20000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start returns when the server said that it is ready.
func (s *killing) start() {
	s.t.Helper()
	cmd := exec.Command(binary, "serve", "--data", s.dir, "--listen", s.addr)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.cmd, s.stderr = cmd, stderr
	s.mu.Unlock()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "http://"+s.addr {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		s.t.Fatalf("the server printed %q, %v\n%s", line, err, stderr)
	}
	s.mu.Lock()
	close(s.up)
	s.mu.Unlock()
}

func (s *killing) kill() {
	s.mu.Lock()
	cmd := s.cmd
	s.up = make(chan struct{})
	s.mu.Unlock()
	_ = cmd.Process.Signal(syscall.SIGKILL)
	if err := cmd.Wait(); !strings.Contains(fmt.Sprint(err), "killed") {
		s.t.Errorf("the server did not live until it was killed: %v\n%s", err, s.stderr)
	}
}

// await blocks while the server is down.
func (s *killing) await() {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	<-up
}

// request is one operation, and the answer that its client accepted as final.
type request struct {
	from, action string
	to           string
	cents        int64
	key          string

	status   int
	body     string
	attempts int
	replayed bool // the client itself had to repeat it after it was executed
}

func (r *request) payload(cents int64) string {
	if r.action == "transfer" {
		return fmt.Sprintf(`{"cents":%d,"to":%q}`, cents, r.to)
	}
	return fmt.Sprintf(`{"cents":%d}`, cents)
}

func (s *killing) post(c *http.Client, r *request, cents int64) (status int, body string, header http.Header, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/v1/agents/account/"+r.from+"/"+r.action, strings.NewReader(r.payload(cents)))
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set("Idempotency-Key", `"`+r.key+`"`)
	req.Header.Set("Content-Type", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header, err
}

// settle repeats the request with its key until the answer is final.
func (s *killing) settle(c *http.Client, r *request) error {
	for {
		s.await()
		r.attempts++
		status, body, header, err := s.post(c, r, r.cents)
		switch {
		case err != nil: // the server was killed: nobody knows
			continue
		case status == http.StatusOK, status == http.StatusUnprocessableEntity:
			r.status, r.body, r.replayed = status, body, header.Get("Idempotent-Replayed") == "true"
			return nil
		case status == http.StatusServiceUnavailable, status == http.StatusConflict && strings.Contains(body, `"in_flight"`):
			continue
		}
		return fmt.Errorf("%s of %s (%s) was answered %d %s", r.action, r.from, r.key, status, body)
	}
}

// uuid7 is a key of RFC 9562 with the time of now.
func uuid7(rng *rand.Rand) string {
	ms := time.Now().UnixMilli()
	return fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", ms>>16, ms&0xffff, rng.IntN(1<<12), 0x8000|rng.IntN(1<<14), rng.Int64N(1<<48))
}

// progress counts answers, and tells when there are so many.
type progress struct {
	mu      sync.Mutex
	n, goal int
	reached chan struct{}
}

func (p *progress) add() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if p.n == p.goal {
		close(p.reached)
	}
}

// more is closed when so many more answers have come.
func (p *progress) more(n int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goal, p.reached = p.n+n, make(chan struct{})
	return p.reached
}

// The promise of `semel serve`, on real processes (FAULTS 1, 2, 6, 17, 25):
// the server is killed 50 times at random moments under 16 clients that retry
// each call with its key until they have a final answer. Then every answer is
// repeated byte for byte, another payload under its key is a conflict that
// tells nothing, and the balance of every account is exactly what its
// acknowledged operations add up to. SEMEL_KILLS and SEMEL_SEED set how often
// and what.
func TestSIGKILL(t *testing.T) {
	t.Parallel()
	kills := 50
	switch {
	case os.Getenv("SEMEL_KILLS") != "":
		kills, _ = strconv.Atoi(os.Getenv("SEMEL_KILLS"))
	case os.Getenv("SEMEL_SOAK") != "":
		kills = 300
	case testing.Short():
		kills = 5
	}
	seed := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("SEMEL_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("rerun: SEMEL_KILLS=%d SEMEL_SEED=%d go test ./cmd/semel -run '^TestSIGKILL$'", kills, seed)
		}
	})
	const clients, accounts = 16, 12
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &killing{t: t, dir: t.TempDir(), addr: fixedPort(t, rng), up: make(chan struct{})}
	s.start()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})

	var (
		wg   sync.WaitGroup
		stop = make(chan struct{})
		done progress
		logs [clients][]*request
		errs [clients]error
	)
	began := time.Now()
	for c := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(c)+1))
			client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				r := &request{from: fmt.Sprint("a", rng.IntN(accounts)), cents: rng.Int64N(100), key: uuid7(rng)} // no cents are refused
				switch rng.IntN(4) {
				case 0, 1:
					r.action, r.to = "transfer", fmt.Sprint("a", rng.IntN(accounts))
				case 2:
					r.action = "debit"
				default:
					r.action, r.cents = "credit", 2*r.cents
				}
				if errs[c] = s.settle(client, r); errs[c] != nil {
					return
				}
				logs[c] = append(logs[c], r)
				done.add()
			}
		})
	}
	for k := range kills {
		select {
		case <-done.more(1 + rng.IntN(150)):
		case <-time.After(time.Minute):
			t.Fatalf("no progress after %d kills: %v\n%s", k, errors.Join(errs[:]...), s.stderr)
		}
		s.kill()
		s.start()
	}
	close(stop)
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills in %v", kills, time.Since(began).Round(time.Millisecond))

	// What was answered is answered again.
	for c := range clients {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			for _, r := range logs[c] {
				if errs[c] = s.repeats(client, r); errs[c] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}

	// The fold of the answers is the state.
	balance, moved := make(map[string]int64), int64(0)
	var operations, attempts, replays, refusals int
	for _, log := range logs {
		for _, r := range log {
			operations, attempts = operations+1, attempts+r.attempts
			if r.replayed {
				replays++
			}
			switch {
			case r.status != http.StatusOK:
				refusals++
			case r.action == "credit":
				balance[r.from] += r.cents
				moved += r.cents
			case r.action == "debit":
				balance[r.from] -= r.cents
				moved -= r.cents
			default:
				balance[r.from] -= r.cents
				balance[r.to] += r.cents
			}
		}
	}
	var total int64
	for i := range accounts {
		id := fmt.Sprint("a", i)
		cents, pending, err := s.account(id)
		if err != nil {
			t.Fatal(err)
		}
		if cents != balance[id] || pending != 0 {
			t.Errorf("account %s has %d cents and %d pending; its acknowledged operations add up to %d", id, cents, pending, balance[id])
		}
		total += cents
	}
	if total != moved {
		t.Errorf("all accounts have %d cents; %d came in", total, moved)
	}
	if replays == 0 && kills >= 50 {
		t.Error("no client ever heard a replay: the kills did not hit")
	}
	t.Logf("%d kills, %d operations (%d of them refused) in %d requests; %d answers were replays to the client that was cut off", kills, operations, refusals, attempts, replays)
}

// repeats asks again for what was answered, and tries the key for something
// else.
func (s *killing) repeats(c *http.Client, r *request) error {
	status, body, header, err := s.post(c, r, r.cents)
	if err != nil || status != r.status || body != r.body || header.Get("Idempotent-Replayed") != "true" {
		return fmt.Errorf("%s of %s (%s) was answered %d %s, and now %d %s (replayed: %q), %v",
			r.action, r.from, r.key, r.status, r.body, status, body, header.Get("Idempotent-Replayed"), err)
	}
	status, body, header, err = s.post(c, r, r.cents+1)
	var p struct{ Code, Kind, Detail string }
	if err == nil {
		err = json.Unmarshal([]byte(body), &p)
	}
	if err != nil || status != http.StatusUnprocessableEntity || p.Code != "idempotency_conflict" ||
		header.Get("Content-Type") != "application/problem+json" || header.Get("Idempotent-Replayed") != "" {
		return fmt.Errorf("another payload with the key %s was answered %d %s, %v", r.key, status, body, err)
	}
	var reply struct {
		Cents  *int64
		Detail string
	}
	if err := json.Unmarshal([]byte(r.body), &reply); err != nil {
		return fmt.Errorf("the reply %s: %w", r.body, err)
	}
	if strings.Contains(body, `"cents"`) || reply.Detail != "" && strings.Contains(p.Detail, reply.Detail) {
		return fmt.Errorf("the conflict %s tells of the stored reply %s", body, r.body)
	}
	return nil
}

func (s *killing) account(id string) (cents, pending int64, err error) {
	res, err := http.Get("http://" + s.addr + "/v1/agents/account/" + id)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	var body struct {
		State struct{ Cents, Pending int64 }
	}
	if res.StatusCode == http.StatusNotFound {
		return 0, 0, nil
	}
	if res.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("account %s: %s", id, res.Status)
	}
	err = json.NewDecoder(res.Body).Decode(&body)
	return body.State.Cents, body.State.Pending, err
}
