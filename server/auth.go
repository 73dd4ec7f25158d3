package server

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/semel-dev/semel/message"
)

// ErrUnauthorized says that a request has no valid credentials: status 401, and
// nothing was done. What wraps it says what to do next, and never has the
// credentials themselves in it.
var ErrUnauthorized = errors.New("unauthorized")

// An Authenticator says who sent a request, or returns an error that wraps
// ErrUnauthorized. It is asked before anything else is looked at, and must be
// safe for concurrent use.
type Authenticator interface {
	Authenticate(r *http.Request) (Principal, error)
}

// A Principal is on whose behalf a request is made.
type Principal struct {
	// Tenant owns what the principal works with. Another tenant's agents, keys,
	// doubts and dead letters are as if they did not exist.
	Tenant string
	// Name is stable: keys belong to it, so a principal that gets a new token
	// still has its former calls replayed.
	Name  string
	Roles Roles
}

// Roles is a set of what a principal may do.
type Roles uint8

// The roles. What each may do is a table in docs/reference/http.md.
const (
	RoleCall     Roles = 1 << iota // call actions and effects, look up outcomes of its own keys
	RoleRead                       // read states, lists, outcomes and changes
	RoleOperator                   // what RoleRead may, and what a person in charge does

	AllRoles = RoleCall | RoleRead | RoleOperator
)

type roleName struct {
	role Roles
	name string
}

var roleNames = []roleName{{RoleCall, "call"}, {RoleRead, "read"}, {RoleOperator, "operator"}}

// ParseRoles makes a set of roles from their names. At least one is needed.
func ParseRoles(names []string) (Roles, error) {
	if len(names) == 0 {
		return 0, errors.New("no role is given; the roles are call, read and operator")
	}
	var set Roles
	for _, name := range names {
		i := slices.IndexFunc(roleNames, func(r roleName) bool { return r.name == name })
		if i < 0 {
			// It is not quoted: it may be a secret in the wrong place.
			return 0, errors.New("there is no such role; the roles are call, read and operator")
		}
		set |= roleNames[i].role
	}
	return set, nil
}

// Has says whether the set allows all that is wanted. An operator may read.
func (r Roles) Has(want Roles) bool {
	if r&RoleOperator != 0 {
		r |= RoleRead
	}
	return r&want == want
}

// String lists the names, as in "call,read".
func (r Roles) String() string {
	var names []string
	for _, n := range roleNames {
		if r&n.role != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// Anonymous authenticates nobody: everyone is principal "anonymous" of the
// default tenant, with all roles. It is what a nil Options.Auth means.
var Anonymous Authenticator = anonymous{}

type anonymous struct{}

var anyone = Principal{Tenant: message.DefaultTenant, Name: message.Anonymous, Roles: AllRoles}

func (anonymous) Authenticate(*http.Request) (Principal, error) {
	return anyone, nil
}

// Reloadable passes requests on to an Authenticator that can be replaced while
// the server runs: a request sees the old one or the new one, never a mixture.
// The zero value refuses every request, so that a forgotten Set opens nothing.
type Reloadable struct {
	current atomic.Pointer[Authenticator]
}

// NewReloadable begins with an Authenticator.
func NewReloadable(a Authenticator) *Reloadable {
	r := new(Reloadable)
	r.Set(a)
	return r
}

// Set replaces the Authenticator. Requests that were authenticated already are
// not asked again, but streams are, at their next sign of life.
func (r *Reloadable) Set(a Authenticator) { r.current.Store(&a) }

// Authenticate asks the current Authenticator.
func (r *Reloadable) Authenticate(req *http.Request) (Principal, error) {
	a := r.current.Load()
	if a == nil || *a == nil {
		return Principal{}, fmt.Errorf("%w: the server has no table of principals", ErrUnauthorized)
	}
	return (*a).Authenticate(req)
}
