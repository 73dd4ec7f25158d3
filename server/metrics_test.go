package server

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/pebble"
)

// scrape reads what the handler shows, and its text.
func scrape(t *testing.T, m *metrics) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families, text
}

// value is the value of the series with these labels (name, value, …), or how
// many values a histogram has.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName(), l.GetValue())
		}
		if !slices.Equal(have, labels) {
			continue
		}
		switch families[name].GetType() {
		case dto.MetricType_COUNTER:
			return m.GetCounter().GetValue()
		case dto.MetricType_HISTOGRAM:
			return float64(m.GetHistogram().GetSampleCount())
		}
		return m.GetGauge().GetValue()
	}
	t.Errorf("there is no %s %q", name, labels)
	return 0
}

// measured opens an App on a real store, with one call of each kind made: of
// secret names.
func measured(t *testing.T) *semel.App {
	t.Helper()
	app, err := semel.Open(t.Context(), pebble.At(t.TempDir()), &semel.Config{
		MaxAttempts: 2, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	type none = struct{}
	agent := semel.NewAgent[int64](app, "secrettype")
	lost := semel.NewEffect(app, "secreteffect", func(context.Context, semel.EffectCall, none) (none, error) {
		return none{}, errors.New("the line went dead")
	})
	then := semel.Then(agent, "then", func(*int64, *semel.Step, none, semel.Result[none]) (none, error) { return none{}, nil })
	add := semel.On(agent, "add", func(sum *int64, _ *semel.Step, n int64) (int64, error) {
		if n < 0 {
			return 0, semel.Reject("negative", "")
		}
		*sum += n
		return *sum, nil
	})
	ill := semel.On(agent, "ill", func(*int64, *semel.Step, none) (none, error) { panic("secret words") })
	doubtful := semel.On(agent, "doubtful", func(_ *int64, s *semel.Step, _ none) (none, error) {
		lost.Ask(s, none{}, then.With(none{}))
		return semel.Defer[none]()
	})
	opts := func(key string) []semel.CallOption {
		return []semel.CallOption{semel.Key("secretkey" + key), semel.Tenant("secrettenant"), semel.As("secretprincipal")}
	}
	for _, c := range []struct {
		key  string
		n    int64
		want error
		kind semel.Kind
	}{
		{"1", 5, nil, 0}, {"1", 5, nil, 0}, {"1", 6, semel.ErrConflict, semel.KindNotDone},
		{"2", -1, nil, semel.KindRejected}, {"2", -1, nil, semel.KindRejected},
	} {
		if _, err := add.Call(t.Context(), "secretid", c.n, opts(c.key)...); semel.KindOf(err) != c.kind || c.want != nil && !errors.Is(err, c.want) {
			t.Fatalf("%+v: %v", c, err)
		}
	}
	if err := ill.Submit(t.Context(), "secretill", none{}, opts("3")...); err != nil {
		t.Fatal(err)
	}
	if _, err := ill.Call(t.Context(), "secretill", none{}, opts("3")...); !errors.Is(err, semel.ErrDead) {
		t.Fatal(err)
	}
	if _, err := doubtful.Call(t.Context(), "secretdoubt", none{}, opts("4")...); !errors.Is(err, semel.ErrInDoubt) {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); app.Stats().StoreBytes < 0; time.Sleep(time.Millisecond) { // the store is asked once a second
		if time.Now().After(deadline) {
			t.Fatal("the size of the store never became known")
		}
	}
	return app
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	app := measured(t)
	m := newMetrics(app, "v1.2.3")
	m.observe(message.AtMostOnce, "done", 0.0003)
	m.observe(message.AtMostOnce, "done", 20)
	m.observe(message.ExactlyOnce, "rejected", 1)
	m.observe(message.ExactlyOnce, "no such outcome", 1)
	m.observe(99, "done", 1) // is no guarantee: nothing is shown, and nothing breaks
	families, text := scrape(t, m)

	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{2, "semel_call_duration_seconds", []string{"guarantee", "at-most-once", "outcome", "done"}},
		{1, "semel_call_duration_seconds", []string{"guarantee", "exactly-once", "outcome", "rejected"}},
		{1, "semel_call_duration_seconds", []string{"guarantee", "exactly-once", "outcome", "unknown"}},
		{0, "semel_call_duration_seconds", []string{"guarantee", "at-least-once", "outcome", "not_done"}},
		{3, "semel_steps_total", nil}, {1, "semel_rejections_total", nil}, {3, "semel_replays_total", nil}, {1, "semel_conflicts_total", nil},
		{2, "semel_handler_failures_total", nil}, {2, "semel_handler_panics_total", nil}, {1, "semel_retries_total", nil},
		{1, "semel_doubts", nil}, {1, "semel_effects_pending", nil}, {0, "semel_effects_running", nil}, {1, "semel_dead_letters", nil},
		{1, "semel_effect_calls_total", []string{"kind", "call"}}, {0, "semel_effect_calls_total", []string{"kind", "probe"}},
		{1, "semel_alarms_total", []string{"kind", "effect_in_doubt"}}, {1, "semel_alarms_total", []string{"kind", "dead_letter"}},
		{0, "semel_alarms_total", []string{"kind", "shard_down"}}, {0, "semel_calls_refused_total", []string{"reason", "storage_full"}},
		{0, "semel_calls_in_flight", nil}, {0, "semel_outbox_lag_messages", nil}, {0, "semel_shards_down", nil},
		{float64(app.Stats().Shards), "semel_shards", nil}, {float64(app.Stats().UnitBytes.Count), "semel_unit_bytes", nil},
		{float64(app.Stats().LargestUnitBytes), "semel_largest_unit_bytes", nil},
	} {
		if got := value(t, families, want.name, want.labels...); got != want.value {
			t.Errorf("%s %q is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	for _, name := range []string{"semel_oldest_doubt_age_seconds", "semel_store_size_bytes", "semel_store_free_bytes", "semel_state_cache_bytes", "go_goroutines", "process_start_time_seconds"} {
		if value(t, families, name) <= 0 {
			t.Errorf("%s is not above zero", name)
		}
	}
	if !strings.Contains(text, `semel_build_info{goversion="go`) || !strings.Contains(text, `version="v1.2.3"`) {
		t.Error("the version is not shown")
	}

	// Nothing of what is called is shown, and no label can hold it.
	if strings.Contains(text, "secret") {
		t.Error("a name of what was called is shown")
	}
	known := []string{"guarantee", "outcome", "reason", "kind", "version", "goversion"}
	for name, f := range families {
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if strings.HasPrefix(name, "semel_") && !slices.Contains(known, l.GetName()) {
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}

// The page of the metrics tells of each: name, type and labels.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	name := regexp.MustCompile("`([a-z_]+)`")
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.HasPrefix(cells[1], " `semel_") {
			continue
		}
		labels := regexp.MustCompile(`\(.*?\)`).ReplaceAllString(cells[3], "") // without their values
		what := []string{strings.TrimSpace(cells[2])}
		for _, l := range name.FindAllStringSubmatch(labels, -1) {
			what = append(what, l[1])
		}
		slices.Sort(what[1:])
		documented[name.FindStringSubmatch(cells[1])[1]] = strings.Join(what, " ")
	}
	families, _ := scrape(t, newMetrics(measured(t), "v"))
	shown := make(map[string]string)
	for n, f := range families {
		if !strings.HasPrefix(n, "semel_") {
			continue
		}
		what := []string{strings.ToLower(f.GetType().String())}
		for _, l := range f.GetMetric()[0].GetLabel() {
			what = append(what, l.GetName())
		}
		shown[n] = strings.Join(what, " ")
		if f.GetHelp() == "" || strings.HasSuffix(n, "_total") != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %s: %q", n, f.GetType(), f.GetHelp())
		}
	}
	if !maps.Equal(documented, shown) {
		for n, what := range shown {
			if documented[n] != what {
				t.Errorf("%s is %q, and documented as %q", n, what, documented[n])
			}
		}
		for n := range documented {
			if _, ok := shown[n]; !ok {
				t.Errorf("%s is documented, and not shown", n)
			}
		}
	}
	if len(shown) < 20 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
}

// A scrape before the start and after the end is answered.
func TestMetricsWithoutARunningApp(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), pebble.At(t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(app, "v")
	families, _ := scrape(t, m)
	if value(t, families, "semel_shards") != 0 || families["semel_store_size_bytes"] != nil {
		t.Error("an App that was not started has shards, or a size")
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	families, _ = scrape(t, m)
	if value(t, families, "semel_shards") == 0 {
		t.Error("an App that was closed forgot its shards")
	}
}
