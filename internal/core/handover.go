package core

import "github.com/semel-dev/semel/message"

// HandOver tells the machine that follows this one in the same process, through
// what it recovers, what no row says. The driver has opened the shard again;
// nothing killed the process meanwhile.
//
// uncalled holds effects with the attempt whose start is durable although the
// driver never made the call, and never will: they are as if only asked for.
// The driver vouches that nobody else had the shard in between.
func (s *Shard) HandOver(rec *Recovered, uncalled map[message.ID]int) error {
	rec.Unclean, rec.Since = s.Suspects(), s.trial.since
	rec.Counters, rec.settledAs = s.counters, s.settledAs
	if rec.Since == 0 {
		rec.Since = s.epoch
	}
	if len(uncalled) == 0 {
		return nil
	}
	for i, r := range rec.Effects {
		e, err := readEffect(message.RowKey{Table: message.TableEffect, Key: r.Key}, r.Value)
		if err != nil {
			return err
		}
		if n, ok := uncalled[e.id]; ok && e.status == effectStarted && e.attempts == n && e.epoch == s.epoch {
			e.status, e.attempts = effectAsked, n-1
			rec.Effects[i].Value = appendEffect(nil, r.Key, e)
		}
	}
	return nil
}
