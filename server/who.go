package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

type principalKey struct{}

// openPaths need no credentials.
var openPaths = map[string]bool{"/livez": true, "/readyz": true, "/healthz": true, "/openapi.json": true}

// authenticated finds out who sent a request before anything else is looked at,
// so that nobody learns from a 404 what there is.
func (s *api) authenticated(next http.Handler) http.Handler {
	if s.Auth == Anonymous {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if openPaths[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		who, err := s.Auth.Authenticate(r)
		switch {
		case errors.Is(err, ErrUnauthorized):
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.refuse(w, codeUnauthorized, "send the header Authorization: Bearer TOKEN, with a token of a principal that is configured")
			return
		case err != nil:
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, who)))
	})
}

// who sent the request.
func (s *api) who(r *http.Request) Principal {
	if s.Auth == Anonymous {
		return anyone
	}
	who, _ := r.Context().Value(principalKey{}).(Principal) // of an open path: nobody, who may nothing
	return who
}

// still says whether the sender of a request, which may have come long ago, is
// who it was, and may do what it might (FAULTS 61).
func (s *api) still(r *http.Request) bool {
	who, err := s.Auth.Authenticate(r)
	return err == nil && who == s.who(r)
}

// open says that nobody is asked who they are.
func (s *api) open() bool {
	if r, ok := s.Auth.(*Reloadable); ok {
		current := r.current.Load()
		return current != nil && *current == Anonymous
	}
	return s.Auth == Anonymous
}

// tenant is what makes a listing that of the request's tenant.
func (s *api) tenant(r *http.Request) semel.TenantOption { return semel.Tenant(s.who(r).Tenant) }

// allow lets a request to a route's handler if its principal has one of the
// route's roles.
func (s *api) allow(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if who := s.who(r); rt.roles != 0 && !who.hasOne(rt.roles) {
			s.refuse(w, codeForbidden, "this needs the role "+rt.roles.String()+"; principal "+who.Name+" has "+who.Roles.String())
			return
		} else if rt.whole && who.Tenant != message.DefaultTenant {
			s.refuse(w, codeForbidden, "this is about the whole server, and for operators of tenant "+message.DefaultTenant)
			return
		}
		rt.handle(w, r)
	}
}

// hasOne says whether the principal has one of the roles.
func (p Principal) hasOne(of Roles) bool {
	for _, role := range []Roles{RoleCall, RoleRead, RoleOperator} {
		if of&role != 0 && p.Roles.Has(role) {
			return true
		}
	}
	return false
}
