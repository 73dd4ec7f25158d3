package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind uint8

// The kinds of faults.
const (
	Crash      Kind = iota // a process dies after an event; an embedded store loses what was not synced
	Unsent                 // it dies between sealing a unit and committing it
	Relapse                // it dies again during recovery, up to three times in a row
	Reopen                 // a session ends and the process goes on
	Stop                   // a process ends in order
	Leap                   // the wall clock of a machine jumps, to and fro
	Pause                  // a process sleeps, its clock goes on (SIGSTOP)
	Suspend                // a process sleeps and its clock stands still (a suspended host)
	Slow                   // a process is late with everything for a while
	Stall                  // the store's device hangs for seconds
	Failover               // the store's standby takes over and has not all that was acknowledged
	LostCommit             // the answer to a commit is lost; the commit may be
	TwiceSent              // a commit arrives at the store twice
	LostGrant              // the answer to an acquired lease is lost
	Delay                  // a message of the network is very late, and others overtake it
	Drop                   // a message of the network is lost
	Duplicate              // a client's request arrives twice
	Partition              // a node cannot reach the store, the clients, the world or anything
	Handover               // a node gives a shard away in order
	LostHint               // nobody tells a shard that it has mail
	Cancel                 // a caller gives up
	Redeliver              // a source sends again what was consumed
	Policies               // a program is replaced by one with other policies
	BeforeCall             // a process falls asleep when it may call and has not yet
	kinds
)

// faultInfo says of a kind how often it strikes when a seed turns it on: once
// in about so many occasions, and where.
type faultInfo struct {
	name     string
	gaps     []int
	odds     int // a seed turns it on once in so many
	embedded bool
	cluster  bool
}

// An occasion is a step for Crash … Partition, a message for what the network
// does, and the thing itself for the others.
var faults = [kinds]faultInfo{
	Crash:      {"crash", []int{150, 400, 1200}, 2, true, true},
	Unsent:     {"unsent", []int{100, 400}, 3, true, true},
	Relapse:    {"relapse", []int{2, 4, 8}, 2, true, true},
	Reopen:     {"reopen", []int{400, 1500}, 2, true, true},
	Stop:       {"stop", []int{1500, 4000}, 3, true, true},
	Leap:       {"leap", []int{2, 4}, 3, true, true},
	Pause:      {"pause", []int{200, 800}, 3, false, true},
	Suspend:    {"suspend", []int{200, 800}, 3, false, true},
	Slow:       {"slow", []int{1500}, 5, true, true},
	Stall:      {"stall", []int{2500}, 5, true, true},
	Failover:   {"failover", []int{1500, 4000}, 4, false, true},
	LostCommit: {"lostcommit", []int{60, 300}, 2, false, true},
	TwiceSent:  {"twicesent", []int{30, 100}, 3, false, true},
	LostGrant:  {"lostgrant", []int{3, 8}, 3, false, true},
	Delay:      {"delay", []int{40, 200}, 3, true, true},
	Drop:       {"drop", []int{40, 200}, 3, true, true},
	Duplicate:  {"duplicate", []int{5, 20}, 2, true, true},
	Partition:  {"partition", []int{1500, 4000}, 3, false, true},
	Handover:   {"handover", []int{1500, 4000}, 2, false, true},
	LostHint:   {"losthint", []int{10, 50}, 2, true, true},
	Cancel:     {"cancel", []int{12}, 2, true, true},
	Redeliver:  {"redeliver", []int{10}, 2, true, true},
	Policies:   {"policies", []int{3}, 2, true, true},
	BeforeCall: {"beforecall", []int{8, 30}, 3, false, true},
}

// String is the kind's name.
func (k Kind) String() string { return faults[k].name }

// Kinds is a set of kinds; nil means all.
type Kinds []Kind

// ParseKinds reads names with commas between them.
func ParseKinds(text string) (Kinds, error) {
	if text == "" {
		return nil, nil
	}
	out := Kinds{}
	for name := range strings.SplitSeq(text, ",") {
		if name == "none" {
			continue
		}
		k := slices.IndexFunc(faults[:], func(f faultInfo) bool { return f.name == name })
		if k < 0 {
			return nil, fmt.Errorf("there is no kind of fault %q", name)
		}
		out = append(out, Kind(k))
	}
	return out, nil
}

// String is what ParseKinds reads.
func (ks Kinds) String() string {
	if ks == nil {
		return ""
	}
	if len(ks) == 0 {
		return "none"
	}
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.String()
	}
	return strings.Join(names, ",")
}

// Skips are strikes, by their index among those of their kind, that a run
// leaves out. The others strike at the same occasions as with them.
type Skips map[Kind][]int

// ParseSkips reads "crash:3,5;delay:1-9".
func ParseSkips(text string) (Skips, error) {
	out := make(Skips)
	if text == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(text, ";") {
		name, list, _ := strings.Cut(part, ":")
		ks, err := ParseKinds(name)
		if err != nil || len(ks) != 1 {
			return nil, fmt.Errorf("%q is not a kind of fault with indexes, like crash:3,5", part)
		}
		for text := range strings.SplitSeq(list, ",") {
			from, to, isRange := strings.Cut(text, "-")
			if !isRange {
				to = from
			}
			a, err := strconv.Atoi(from)
			b, err2 := strconv.Atoi(to)
			if err := errors.Join(err, err2); err != nil {
				return nil, fmt.Errorf("%q: %w", part, err)
			}
			for n := a; n <= b; n++ {
				out[ks[0]] = append(out[ks[0]], n)
			}
		}
	}
	return out, nil
}

// String is what ParseSkips reads.
func (sk Skips) String() string {
	var parts []string
	for k := range kinds {
		if len(sk[k]) == 0 {
			continue
		}
		parts = append(parts, k.String()+":"+ranges(sk[k]))
	}
	return strings.Join(parts, ";")
}

// ranges writes numbers, 1-4,7.
func ranges(numbers []int) string {
	list := slices.Compact(slices.Sorted(slices.Values(numbers)))
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		text := strconv.Itoa(list[i])
		if j > i {
			text += "-" + strconv.Itoa(list[j])
		}
		out = append(out, text)
		i = j + 1
	}
	return strings.Join(out, ",")
}

// chaos decides which faults strike when. A kind's strikes lie at distances
// that a hash of seed, kind and index gives, so that one that is skipped shifts
// none of the others.
type chaos struct {
	seed    uint64
	on      [kinds]bool
	gap     [kinds]int // mean
	left    [kinds]int // occasions until the next strike
	index   [kinds]int // of the next strike
	skip    [kinds]map[int]bool
	strikes [kinds]int64 // that were not skipped, and befell something
	struck  []Strike     // that were not skipped, in their order
	calm    bool
}

// Strike is a fault that happened.
type Strike struct {
	Kind  Kind
	Index int
	At    time.Duration // since the run began
}

func newChaos(seed uint64, cluster bool, allowed Kinds, skips Skips) *chaos {
	c := &chaos{seed: seed}
	for k := range kinds {
		f := &faults[k]
		r := newRNG(seed, 1000+uint64(k))
		c.on[k] = r.oneIn(f.odds)
		if allowed != nil {
			c.on[k] = slices.Contains(allowed, k)
		}
		c.on[k] = c.on[k] && (cluster && f.cluster || !cluster && f.embedded)
		c.gap[k] = pick(r, f.gaps...)
		for _, n := range skips[k] {
			if c.skip[k] == nil {
				c.skip[k] = make(map[int]bool)
			}
			c.skip[k][n] = true
		}
		c.plan(k)
	}
	return c
}

// plan draws the distance to the next strike: geometric, so that every occasion
// is as likely as any other.
func (c *chaos) plan(k Kind) {
	h := mix64(c.seed ^ mix64(uint64(k)<<32|uint64(c.index[k])))
	u := (float64(h>>11) + 1) / (1 << 53)
	c.left[k] = 1 + int(-math.Log(u)*float64(c.gap[k]))
}

// strikes says whether a fault happens at this occasion.
func (s *Sim) strike(k Kind) bool {
	c := s.chaos
	if !c.on[k] || c.calm {
		return false
	}
	if c.left[k]--; c.left[k] > 0 {
		return false
	}
	n := c.index[k]
	c.index[k]++
	c.plan(k)
	if c.skip[k][n] {
		return false
	}
	c.strikes[k]++
	c.struck = append(c.struck, Strike{k, n, time.Duration(s.now - start)})
	s.mix(0xf0, uint64(k), uint64(n))
	if s.keep {
		s.tracef("FAULT %s:%d", k, n)
	}
	return true
}

// missed takes back that a strike counts: it befell nothing.
func (s *Sim) missed(k Kind) { s.chaos.strikes[k]-- }

// draw returns numbers for the particulars of the strike that just happened.
func (s *Sim) draw(k Kind) *rng {
	return newRNG(s.seed, uint64(k)<<32|uint64(s.chaos.index[k]))
}
