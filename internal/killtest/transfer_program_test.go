package killtest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/mariadb"
	"github.com/semel-dev/semel/twopc/postgres"
)

// The sides of a transfer: an account agent, and a row in each of two databases.
const (
	agentSide    = "agent"
	postgresSide = "postgres"
	mariadbSide  = "mariadb"
)

// move is what one side is to do: add cents, which may be negative, to a purse.
type move struct {
	Key   string `json:"key"` // of the transaction
	Side  string `json:"side"`
	Purse int    `json:"purse"`
	Cents int64  `json:"cents"`
}

// purses is how many of them a side has, with plenty in each of them.
const (
	purses = 12
	plenty = 10_000
)

func account(purse int) string { return fmt.Sprint("a", purse) }

// moveInPostgres adds to a purse, and notes for which transaction.
func moveInPostgres(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
	var m move
	if err := json.Unmarshal(b.Body, &m); err != nil {
		return nil, semel.Reject("bad_body", "%v", err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO moves (k, cents) VALUES ($1, $2)", m.Key, m.Cents); err != nil {
		return nil, err
	}
	var left int64
	if err := tx.QueryRow(ctx, "UPDATE purses SET cents = cents + $2 WHERE id = $1 RETURNING cents", m.Purse, m.Cents).Scan(&left); err != nil {
		return nil, err
	}
	return nil, enough(left)
}

// moveInMariaDB is the same there.
func moveInMariaDB(ctx context.Context, tx mariadb.Tx, b twopc.Branch) (json.RawMessage, error) {
	var m move
	if err := json.Unmarshal(b.Body, &m); err != nil {
		return nil, semel.Reject("bad_body", "%v", err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO moves (k, cents) VALUES (?, ?)", m.Key, m.Cents); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE purses SET cents = cents + ? WHERE id = ?", m.Cents, m.Purse); err != nil {
		return nil, err
	}
	var left int64
	if err := tx.QueryRowContext(ctx, "SELECT cents FROM purses WHERE id = ?", m.Purse).Scan(&left); err != nil {
		return nil, err
	}
	return nil, enough(left)
}

func enough(left int64) error {
	if left < 0 {
		return semel.Reject(ledger.CodeInsufficientFunds, "there would be %d", left)
	}
	return nil
}

// teller is the program with a coordinator of transfers.
type teller struct {
	accounts *ledger.Accounts
	co       *twopc.Coordinator
}

// connections are those of the two databases.
func connections(ctx context.Context) (*pgxpool.Pool, *sql.DB, error) {
	pool, err := pgxpool.New(ctx, os.Getenv("POSTGRES"))
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("mysql", os.Getenv("MARIADB"))
	return pool, db, err
}

// runTransfers is a program that coordinates transfers. What its watch has to
// say it says on standard output, as JSON.
func runTransfers() error {
	ctx := context.Background()
	pool, db, err := connections(ctx)
	if err != nil {
		return err
	}
	my, err := mariadb.New(db, moveInMariaDB, nil)
	if err != nil {
		return err
	}
	app, err := semel.Open(ctx, pebble.At(os.Getenv("DATA")), nil)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	p := &teller{accounts: ledger.Register(app), co: twopc.New(app, &twopc.Config{
		Timeout: 3 * time.Second, CallTimeout: 3 * time.Second, RetryBase: 50 * time.Millisecond, RetryMax: time.Second, Logger: log,
	})}
	p.co.Register(postgresSide, postgres.New(pool, moveInPostgres, nil))
	p.co.Register(mariadbSide, my)
	if err := app.Start(ctx); err != nil {
		return err
	}
	go func() { log.Error("the watch ended", "error", p.co.Watch(ctx, time.Second)) }()
	mux := http.NewServeMux()
	for path, answer := range map[string]func(*http.Request) (any, error){
		"/open": p.open, "/transfer": p.transfer, "/decided": p.decided, "/waiting": p.waiting, "/balances": p.balances, "/sweep": p.sweep,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			v, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			writeJSON(w, v)
		})
	}
	return listenAndSay(mux)
}

func (p *teller) open(r *http.Request) (any, error) {
	for i := range purses {
		if _, err := p.accounts.Open.Call(r.Context(), account(i), ledger.Open{Cents: plenty}, semel.Key("open")); err != nil {
			return nil, err
		}
	}
	return true, nil
}

// transfer runs one transaction: "committed", or the code of its refusal. An error is no answer.
func (p *teller) transfer(r *http.Request) (any, error) {
	var moves []move
	if err := json.Unmarshal([]byte(r.FormValue("moves")), &moves); err != nil {
		return nil, err
	}
	var parts []twopc.Part
	for _, m := range moves {
		switch {
		case m.Side != agentSide:
			parts = append(parts, p.co.With(m.Side, m))
		case m.Cents < 0:
			parts = append(parts, twopc.Do(p.accounts.Debit.Ref, account(m.Purse), ledger.Amount{Cents: -m.Cents}))
		default:
			parts = append(parts, twopc.Do(p.accounts.Credit.Ref, account(m.Purse), ledger.Amount{Cents: m.Cents}))
		}
	}
	_, err := p.co.Run(r.Context(), moves[0].Key, parts)
	var no *semel.Rejection
	if errors.As(err, &no) {
		return no.Code, nil
	}
	return "committed", err
}

// decided is what was decided about the transactions from the key 0 to n.
func (p *teller) decided(r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.FormValue("n"))
	all := make([]string, n)
	for i := range all {
		info, err := p.co.Find(r.Context(), strconv.Itoa(i))
		switch {
		case errors.Is(err, semel.ErrUnknownAgent):
			all[i] = "unknown"
		case err != nil:
			return nil, err
		default:
			all[i] = string(info.State)
		}
	}
	return all, err
}

// waiting is how many transactions are undecided or in doubt.
func (p *teller) waiting(r *http.Request) (any, error) {
	n := 0
	for e, err := range p.co.List(r.Context(), "") {
		if err != nil {
			return nil, err
		}
		if e.State == twopc.Undecided || e.InDoubt() {
			n++
		}
	}
	return n, nil
}

func (p *teller) balances(r *http.Request) (any, error) {
	all := make([]int64, purses)
	for i := range all {
		a, _, err := p.accounts.Get(r.Context(), account(i))
		if err != nil {
			return nil, err
		}
		all[i] = a.Cents
	}
	return all, nil
}

// swept is what an operator sees of prepared work that nobody here may resolve.
type swept struct {
	Foreign []twopc.Orphan // without their Err, which is twopc.ErrForeign
	Others  int
	Error   string
}

func (p *teller) sweep(r *http.Request) (any, error) {
	found, err := p.co.Sweep(r.Context())
	s := swept{Error: fmt.Sprint(err)}
	for _, o := range found {
		if errors.Is(o.Err, twopc.ErrForeign) {
			o.Err = nil
			s.Foreign = append(s.Foreign, o)
		} else {
			s.Others++
		}
	}
	return s, nil
}
