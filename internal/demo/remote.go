package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// remoteProvider is the provider as the demo sees it.
type remoteProvider struct {
	url    string
	ledger string // its file
}

func (r *remoteProvider) order(ctx context.Context, o order) error {
	return exchangeJSON(ctx, http.MethodPut, r.url+"/demo/order", o, nil)
}

// charges asks for its ledger, as a person does who looks at its pages. What
// was sent to it before is in there.
func (r *remoteProvider) charges(ctx context.Context) (all []Charge, err error) {
	err = exchangeJSON(ctx, http.MethodGet, r.url+"/charges", nil, &all)
	return all, err
}

// guard names the server's process; zero when there is none.
func (r *remoteProvider) guard(ctx context.Context, pid int) error {
	return exchangeJSON(ctx, http.MethodPut, r.url+"/demo/server", pid, nil)
}

// exchangeJSON talks to the provider: it sends in, if there is something, and
// reads out.
func exchangeJSON(ctx context.Context, method, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode > 299 {
		return errors.New("the provider answered " + res.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}
