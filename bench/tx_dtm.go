package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/testserver"
)

// dtmModule is whose server is measured.
const dtmModule = "github.com/dtm-labs/dtm"

// dtmBuild is a server of DTM as a program, with what it needs beside it.
type dtmBuild struct {
	binary, version string
	schema          []byte // its tables on PostgreSQL
}

// buildDTM builds the server from its module, which is in a directory of this
// repository, into another one.
func buildDTM(ctx context.Context, module, into string) (b dtmBuild, err error) {
	tool := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = module
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = fmt.Errorf("go %s, in %s: %w\n%s", args[0], module, err, exit.Stderr)
		}
		return strings.TrimSpace(string(out)), err
	}
	b.binary = filepath.Join(into, "dtm")
	if _, err = tool("build", "-trimpath", "-o", b.binary, "."); err != nil {
		return b, err
	}
	where, err := tool("list", "-m", "-f", "{{.Version}} {{.Dir}}", dtmModule)
	if err != nil {
		return b, err
	}
	var dir string
	b.version, dir, _ = strings.Cut(where, " ")
	b.schema, err = os.ReadFile(filepath.Join(dir, "sqls", "dtmsvr.storage.postgres.sql"))
	return b, err
}

// dtm is a server of DTM that runs.
type dtm struct {
	home     *testserver.Home
	process  *testserver.Process
	address  string
	database *txDatabase // nil for a store of its own
}

// dtmIdle is how many connections to the branches it keeps: enough, where its own
// number is one more than there are processors.
const dtmIdle = 128

// startDTM starts a server on an empty store of its own (bbolt, which syncs each
// commit), or on an empty schema of PostgreSQL, and returns when it answers.
func startDTM(ctx context.Context, b dtmBuild, database *txDatabase, schema string) (d *dtm, err error) {
	// As PostgreSQL's user it may use a socket that is only for that one.
	d = &dtm{database: database}
	if d.home, err = testserver.Place("DTM", "semel-dtm-", "postgres"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	binary := d.home.Path("dtm")
	if err = copyFile(b.binary, binary); err != nil {
		return nil, err
	}
	if err = os.Mkdir(d.home.Path("sqls"), 0o755); err != nil {
		return nil, err
	}
	if err = os.WriteFile(d.home.Path("sqls/dtmsvr.storage.postgres.sql"), b.schema, 0o644); err != nil {
		return nil, err
	}
	config, port, err := dtmConfig(database.url(), schema)
	if err != nil {
		return nil, err
	}
	if err = os.WriteFile(d.home.Path("conf.yml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	d.address = "127.0.0.1:" + strconv.Itoa(port)
	// -r makes its tables.
	if d.process, err = d.home.Start(binary, "-c", "conf.yml", "-r", "-idle", strconv.Itoa(dtmIdle)); err != nil {
		return nil, err
	}
	return d, d.process.Answers(func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+"/api/ping", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	})
}

// dtmConfig is its configuration, where it is not its default: ports that were
// free just now, and a log of errors alone, which makes it faster.
func dtmConfig(dsn, schema string) (text string, port int, err error) {
	port, grpc, err := freePorts()
	if err != nil {
		return "", 0, err
	}
	text = fmt.Sprintf("HttpPort: %d\nGrpcPort: %d\nLogLevel: 'error'\n", port, grpc)
	if dsn == "" {
		return text, port, nil
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", 0, err
	}
	password := c.Password
	if password == "" {
		password = "none" // an empty one would hide what follows it from its driver
	}
	return text + fmt.Sprintf("Store:\n  Driver: 'postgres'\n  Host: %q\n  Port: %d\n  User: %q\n  Password: %q\n  Db: %q\n  Schema: %q\n  MaxOpenConns: %d\n  MaxIdleConns: %[7]d\n",
		c.Host, c.Port, c.User, password, c.Database, schema, dtmConnections), port, nil
}

// dtmConnections is how many it has to PostgreSQL at most: one for each caller,
// and some.
const dtmConnections = 80

// freePorts are two that were free just now.
func freePorts() (a, b int, err error) {
	first, err := net.Listen("tcp", ":0")
	if err != nil {
		return 0, 0, err
	}
	second, err := net.Listen("tcp", ":0")
	if err != nil {
		return 0, 0, errors.Join(err, first.Close())
	}
	a, b = first.Addr().(*net.TCPAddr).Port, second.Addr().(*net.TCPAddr).Port
	return a, b, errors.Join(first.Close(), second.Close())
}

func copyFile(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}

// used is what it and its database have used.
func (d *dtm) used() usage {
	u := d.database.used()
	u.manager = familyTime(d.process.Pid())
	return u
}

func (d *dtm) close() error {
	return errors.Join(d.process.End(syscall.SIGTERM), d.home.Remove())
}
