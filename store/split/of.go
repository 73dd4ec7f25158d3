package split

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Part is one of the stores that a divided store is made of.
type Part struct {
	// Name tells the part from the others, in its charter as well: it stays the
	// same. Lower-case letters, digits, - and _, at most 40.
	Name string
	// Shards are those that the part holds. Each shard is in one part.
	Shards []message.Shard
	// Opener opens the part's store, made for the number of shards of the whole.
	// It must be a store.PartOpener.
	Opener store.Opener
}

// Range is the shards from first to last.
func Range(first, last message.Shard) []message.Shard {
	var all []message.Shard
	for s := int(first); s <= int(last); s++ {
		all = append(all, message.Shard(s))
	}
	return all
}

// ParseShards reads a list of shards as people write it: "0-7,12".
func ParseShards(text string) ([]message.Shard, error) {
	var all []message.Shard
	for item := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(item), "-")
		if !ranged {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil || first > last {
			return nil, fmt.Errorf("%q is no list of shards; give numbers and ranges, as in 0-7,12", text)
		}
		all = append(all, Range(message.Shard(first), message.Shard(last))...)
	}
	return all, nil
}

// Of names the parts of a store. Their order does not matter.
func Of(parts ...Part) store.Opener { return opener{parts} }

type opener struct{ parts []Part }

var names = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// plan is the parts, in the order of their names, and the map of the shards.
func (o opener) plan() (*plan, error) {
	if len(o.parts) == 0 {
		return nil, errors.New("there are no parts")
	}
	p := &plan{parts: slices.Clone(o.parts)}
	slices.SortFunc(p.parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	for i := range p.parts {
		part := &p.parts[i]
		if !names.MatchString(part.Name) {
			return nil, fmt.Errorf("the part's name %q; choose lower-case letters, digits, - and _, at most 40", part.Name)
		}
		if i > 0 && part.Name == p.parts[i-1].Name {
			return nil, fmt.Errorf("two parts are called %s", part.Name)
		}
		if _, ok := part.Opener.(store.PartOpener); !ok {
			return nil, fmt.Errorf("part %s: this kind of store (%T) cannot be a part", part.Name, part.Opener)
		}
		if len(part.Shards) == 0 {
			return nil, fmt.Errorf("part %s has no shards", part.Name)
		}
		part.Shards = slices.Sorted(slices.Values(part.Shards))
		p.shards += len(part.Shards)
	}
	p.home = make([]int, p.shards)
	taken := make([]bool, p.shards)
	for i, part := range p.parts {
		for _, s := range part.Shards {
			if int(s) >= p.shards {
				return nil, fmt.Errorf("the parts have %d shards, and shard %d is in part %s: name each from 0 on", p.shards, s, part.Name)
			}
			if taken[s] {
				return nil, fmt.Errorf("shard %d is named twice, the second time in part %s", s, part.Name)
			}
			taken[s], p.home[s] = true, i
		}
	}
	return p, nil
}

// plan is a map that makes sense.
type plan struct {
	parts  []Part
	shards int
	home   []int // by shard, the part that holds it
}

// Check says what is wrong with the map that parts make, without opening any.
func Check(parts ...Part) error {
	_, err := opener{parts}.plan()
	return err
}

// OpenStore opens the parts that can be reached, and compares their charters.
func (o opener) OpenStore(ctx context.Context) (store.Store, error) {
	p, err := o.plan()
	if err == nil {
		var st *Store
		if st, err = p.open(ctx); err == nil {
			return st, nil
		}
	}
	return nil, fmt.Errorf("open the divided store: %w", err)
}
