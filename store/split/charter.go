package split

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/semel-dev/semel/message"
)

// charter is a part's record of the whole. All parts have the same but for Part.
// It is compared as bytes: this program writes it in one way.
type charter struct {
	Format int      `json:"format"` // 1
	Part   string   `json:"part"`   // whose it is
	Shards int      `json:"shards"`
	Parts  []member `json:"parts"` // in the order of their names
}

type member struct {
	Name        string `json:"name"`
	Shards      string `json:"shards"` // as in "0-7,12"
	Incarnation string `json:"incarnation"`
}

// charterOf is what a part's charter is to say.
func (p *plan) charterOf(part int, incarnations []message.Incarnation) []byte {
	c := charter{Format: 1, Part: p.parts[part].Name, Shards: p.shards}
	for i, m := range p.parts {
		c.Parts = append(c.Parts, member{Name: m.Name, Shards: ranges(m.Shards), Incarnation: fmt.Sprintf("%x", incarnations[i][:])})
	}
	b, err := json.Marshal(&c)
	if err != nil {
		panic(err) // of our own types
	}
	return b
}

// read takes a part's charter apart. It is of the part and of the plan, and says
// which incarnations all parts had.
func (p *plan) read(part int, b []byte) ([]message.Incarnation, error) {
	name := p.parts[part].Name
	var c charter
	if err := json.Unmarshal(b, &c); err != nil || c.Format != 1 {
		return nil, fmt.Errorf("part %s: its charter cannot be read (format %d, %v): is it of a newer program?", name, c.Format, err)
	}
	if c.Part != name {
		return nil, fmt.Errorf("part %s: what is there is part %s of a divided store: the databases are swapped, or the wrong one is named", name, c.Part)
	}
	had := make([]message.Incarnation, len(p.parts))
	same := len(c.Parts) == len(p.parts)
	for i := range min(len(c.Parts), len(p.parts)) {
		m := c.Parts[i]
		same = same && m.Name == p.parts[i].Name && m.Shards == ranges(p.parts[i].Shards)
		if inc, err := hex.DecodeString(m.Incarnation); err != nil || copy(had[i][:], inc) != len(had[i]) {
			return nil, fmt.Errorf("part %s: its charter has no incarnation of part %s", name, m.Name)
		}
	}
	if !same || c.Shards != p.shards {
		return nil, fmt.Errorf("part %s: it was made with the map %s, and the map given is %s: name the parts as they are", name, c.describe(), p.describe())
	}
	return had, nil
}

func (c *charter) describe() string {
	var all []string
	for _, m := range c.Parts {
		all = append(all, m.Name+" "+m.Shards)
	}
	return strings.Join(all, "; ")
}

func (p *plan) describe() string {
	var all []string
	for _, m := range p.parts {
		all = append(all, m.Name+" "+ranges(m.Shards))
	}
	return strings.Join(all, "; ")
}

// ranges writes sorted shards as people do.
func ranges(shards []message.Shard) string {
	var all []string
	for i := 0; i < len(shards); {
		last := i
		for last+1 < len(shards) && shards[last+1] == shards[last]+1 {
			last++
		}
		if last == i {
			all = append(all, fmt.Sprint(shards[i]))
		} else {
			all = append(all, fmt.Sprintf("%d-%d", shards[i], shards[last]))
		}
		i = last + 1
	}
	return strings.Join(all, ",")
}

// whole derives the incarnation of the whole from those of its parts: when one of
// them begins another life, so does the whole.
func (p *plan) whole(incarnations []message.Incarnation) message.Incarnation {
	h := sha256.New()
	h.Write([]byte("semel divided store"))
	for i, m := range p.parts {
		fmt.Fprintf(h, "\n%s %x", m.Name, incarnations[i][:])
	}
	return message.Incarnation(h.Sum(nil)[:16])
}

// strangers are shards that are used in a part that does not hold them.
func (p *plan) strangers(part int, used []message.Shard) error {
	used = slices.DeleteFunc(slices.Clone(used), func(s message.Shard) bool { return int(s) < p.shards && p.home[s] == part })
	if len(used) == 0 {
		return nil
	}
	return fmt.Errorf("part %s has used shards that the map puts elsewhere (%s): they must be moved there first, with no server running", p.parts[part].Name, ranges(used))
}
