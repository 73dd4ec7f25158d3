package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/semel-dev/semel"
)

type principalKey struct{}

// open are the paths that need no credentials.
var open = map[string]bool{"/livez": true, "/readyz": true, "/healthz": true, "/openapi.json": true}

// authenticated finds out who sent a request before anything else is looked at,
// so that nobody learns from a 404 what there is.
func (s *api) authenticated(next http.Handler) http.Handler {
	if s.Auth == Anonymous {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open[r.URL.Path] {
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

var anyone = Principal{Tenant: "default", Name: "anonymous", Roles: AllRoles}

// who sent the request.
func (s *api) who(r *http.Request) Principal {
	if s.Auth == Anonymous {
		return anyone
	}
	who, _ := r.Context().Value(principalKey{}).(Principal) // of an open path: nobody, who may nothing
	return who
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
