package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func small(t *testing.T) Study {
	return Study{Dir: t.TempDir(), Round: 50 * time.Millisecond, Rounds: 1, Agents: 50, Callers: []int{2}}
}

// A short round of everything: what it says of itself must agree, and nothing
// may be left behind.
func TestStudy(t *testing.T) {
	t.Parallel()
	s := small(t)
	s.Batch, s.Rounds = 20, 2
	var steps []Progress
	s.Progress = func(p Progress) { steps = append(steps, p) }
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(s.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind in the directory: %v, %v", left, err)
	}
	points, _ := s.Points()
	if len(points) < 3 || !slices.Equal(r.points(), points) {
		t.Errorf("measured %v of %v", r.points(), points)
	}
	if want := 2*4 + 3*(len(points)-2); len(r.Measurements) != want || len(r.Ratios) != want-len(points) {
		t.Errorf("%d measurements, not %d, and %d ratios", len(r.Measurements), want, len(r.Ratios))
	}
	for i, p := range steps {
		if p.Done != i || p.Total != 1+2*(2*4+2*3) || p.Now == "" {
			t.Errorf("step %d says %+v", i, p)
		}
	}
	for _, m := range append(slices.Clone(r.Measurements), r.Disk) {
		consistent(t, m)
	}
	for _, p := range points {
		a, b := r.find(p, "exactly-once"), r.find(p, "at-least-once")
		x := r.ratio(p, "at-least-once")
		if want := median([]float64{a.Rounds[0] / b.Rounds[0], a.Rounds[1] / b.Rounds[1]}); x == nil || x.Throughput != want {
			t.Errorf("%v: the ratio is %+v, not %v", p, x, want)
		}
	}
}

func consistent(t *testing.T, m Measurement) {
	t.Helper()
	l, name := m.Latency, m.String()+" "+m.Guarantee
	if m.Operations == 0 || l.Count*uint64(m.Batch) != uint64(m.Operations) {
		t.Errorf("%s: %d operations in %d timed groups of %d", name, m.Operations, l.Count, m.Batch)
	}
	order := []time.Duration{1, l.Min, l.P10, l.P25, l.P50, l.P75, l.P90, l.P95, l.P99, l.P999, l.P9999, l.Max}
	if !slices.IsSorted(order) {
		t.Errorf("%s: quantiles out of order: %v", name, order)
	}
	var n uint64
	for _, b := range m.Histogram {
		n += b.Count
	}
	if n != l.Count {
		t.Errorf("%s: the histogram holds %d of %d", name, n, l.Count)
	}
	// In a closed loop the callers' time is made of calls: none can be longer
	// than all of it, and the rate follows from the mean.
	if busy := time.Duration(l.Count) * l.Mean; busy > m.Elapsed*time.Duration(m.Callers)+time.Millisecond {
		t.Errorf("%s: %d callers spent %v in calls within %v", name, m.Callers, busy, m.Elapsed)
	}
	if m.PerSecond <= 0 || m.Busy < 0 || m.Busy > 1 {
		t.Errorf("%s: %v a second, busy %v", name, m.PerSecond, m.Busy)
	}
}

func TestAStudyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := small(t)
	s.Round = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	s.Progress = func(Progress) { go cancel() } // while the disk is about to be measured for an hour
	if _, err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOnlyChoosesPoints(t *testing.T) {
	t.Parallel()
	s := Study{Callers: []int{1, 64}, Batch: 8, Only: "HTTP, 64"}
	points, err := s.Points()
	if want := []Point{{OverHTTP, 64, 1}}; err != nil || !slices.Equal(points, want) {
		t.Errorf("chosen are %v, %v", points, err)
	}
	s.Only = "nothing"
	if _, err := s.Points(); err == nil || !strings.Contains(err.Error(), "in process, 1 caller; ") {
		t.Errorf("the error does not say what there is: %v", err)
	}
	if _, err := (Study{}).Points(); err == nil {
		t.Error("nothing to measure is no error")
	}
}

// made is a report with fixed figures, and names that HTML must escape.
func made() *Report {
	r := &Report{
		Version: reportVersion, Command: `semel bench --data '<b>&"'`, Semel: "1.2.3", Took: time.Minute,
		Started:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine:  Machine{OS: "linux", Arch: "amd64", CPU: "A <fast> one", Cores: 2, Memory: 8 << 30, FileSystem: "ext4", Device: "/dev/<x>", Go: "go1"},
		Workload: Workload{Agents: 10000, BodyBytes: 100, StateBytes: 100, Round: time.Second, Rounds: 3},
		Warnings: []string{"<script>alert(1)</script>"},
	}
	result := func(scale int) *Result {
		x := &Result{Elapsed: time.Second, cpu: time.Second, rounds: []float64{1000 / float64(scale), 1100 / float64(scale), 900 / float64(scale)}}
		for i := range 20000 {
			x.latency.Add(time.Duration(scale*(i+1)) * time.Microsecond)
			x.Ops++
		}
		x.finish()
		return x
	}
	r.Disk = measurementOf(Point{"disk", 1, 1}, "", result(1))
	for _, p := range []Point{{InProcess, 1, 1}, {InProcess, 64, 1}, {OverHTTP, 1, 1}, {OverHTTP, 64, 1}, {OverHTTP, 8, 512}} {
		exactly := result(4)
		r.Measurements = append(r.Measurements, measurementOf(p, "exactly-once", exactly))
		for i, g := range []string{"at-least-once", "at-most-once"} {
			other := result(3 - i)
			r.Measurements = append(r.Measurements, measurementOf(p, g, other))
			r.Ratios = append(r.Ratios, ratioOf(p, "exactly-once", exactly, g, other))
		}
		if p.Path == InProcess {
			raw := result(5)
			r.Measurements = append(r.Measurements, measurementOf(Point{RawStore, p.Callers, p.Batch}, "", raw))
			r.Ratios = append(r.Ratios, ratioOf(p, "exactly-once", exactly, RawStore, raw))
		}
	}
	return r
}

func TestPage(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := made().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "<b>", "<fast>", "/dev/<x>", "http:", "https:", "NaN", "Inf", "ZgotmplZ", "src="} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q in it", bad)
		}
	}
	for _, want := range []string{"semel bench --data &#39;&lt;b&gt;&amp;&#34;&#39;", "A &lt;fast&gt; one", "&lt;script&gt;alert(1)", "8 callers, batches of 512", "exactly-once: 99.9 % of calls within"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	plots := regexp.MustCompile(`(?s)<svg viewBox="0 0 400.*?</svg>`).FindAllString(page, -1)
	if len(plots) != 2+5 {
		t.Fatalf("%d plots", len(plots))
	}
	for i, plot := range plots {
		lines := map[string]int{}
		d := xml.NewDecoder(strings.NewReader(plot))
		class := ""
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("plot %d is not XML: %v", i, err)
			}
			if e, ok := token.(xml.StartElement); ok {
				for _, a := range e.Attr {
					switch {
					case e.Name.Local == "g" && a.Name.Local == "class":
						class = a.Value
					case e.Name.Local == "polyline" && strings.Count(a.Value, ",") > 1:
						lines[class]++
					}
				}
			}
		}
		// Three guarantees, the raw store in process, and two quantiles where
		// throughput is against latency.
		inProcess := i < 3
		want := map[string]int{"s0": 1, "s1": 1, "s2": 1}
		if inProcess {
			want["s3"] = 1
		}
		if i == 0 || i == 3 {
			for c := range maps.Clone(want) {
				want[c+" dashed"] = 1
			}
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("plot %d: lines of the subjects (-want +got):\n%s", i, diff)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := made().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"over HTTP, 64 callers: exactly-once does 75 % of the calls of at-least-once (p50 1.33 ×, p99 1.33 ×) and 50 % of those of at-most-once (p50 2.00 ×, p99 2.00 ×).",
		"raw store", "0.80 ×", "8 callers, batches of 512",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	if widest := slices.Max(mapped(strings.Split(b.String()[:strings.Index(b.String(), "\nin process, 1")], "\n"))); widest > 125 {
		t.Errorf("the table is %d wide", widest)
	}
}

func mapped(lines []string) (widths []int) {
	for _, l := range lines {
		widths = append(widths, len([]rune(l)))
	}
	return widths
}

// The JSON's shape is a promise: what is pinned here may grow, and not change.
func TestJSONShape(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := made().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	var got []string
	walk(v, "", func(path string) {
		if !slices.Contains(got, path) {
			got = append(got, path)
		}
	})
	slices.Sort(got)
	file := filepath.Join("testdata", "report.shape")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(want)), got); diff != "" {
		t.Errorf("the members of the report (-%s +got):\n%s", file, diff)
	}
}

func walk(v any, path string, leaf func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			walk(x, path+"."+k, leaf)
		}
	case []any:
		for _, x := range v {
			walk(x, path+"[]", leaf)
		}
	case string:
		leaf(path + ":string")
	case float64:
		leaf(path + ":number")
	case bool:
		leaf(path + ":bool")
	}
}

func TestMounts(t *testing.T) {
	t.Parallel()
	const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /tmp rw,nosuid shared:9 - tmpfs tmpfs rw
31 22 8:1 / /mnt/my\040disk rw - xfs /dev/sda1 rw
32 22 8:2 / /mnt/over rw - ext4 /dev/sdb rw
33 32 0:30 / /mnt/over rw - overlay overlay rw
`
	for path, want := range map[string]string{
		"/home/x": "ext4 /dev/vda", "/tmp": "tmpfs tmpfs", "/tmp/a/b": "tmpfs tmpfs", "/tmpfile": "ext4 /dev/vda",
		"/mnt/my disk/x": "xfs /dev/sda1", "/mnt/over/x": "overlay overlay",
	} {
		fsType, device := mountOf(path, mounts)
		if got := fsType + " " + device; got != want {
			t.Errorf("%s is on %q, not %q", path, got, want)
		}
	}
	if !InMemory("tmpfs") || InMemory("ext4") {
		t.Error("what is in memory is not told from what is on a disk")
	}
}
