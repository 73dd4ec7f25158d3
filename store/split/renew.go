package split

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Renew makes of parts that were restored from backups a store of its own. No
// server may have it open, before it and meanwhile, and the backups of all parts
// must be of one moment at which none had: a message that one part has consumed
// and another has not sent yet would else be lost, or taken twice.
//
// renew gives one part another incarnation and closes it again. Whatever stops
// Renew, calling it again completes it; until then the store is not opened.
func Renew(ctx context.Context, parts []Part, renew func(ctx context.Context, name string) error) error {
	p, err := opener{parts}.plan()
	if err != nil {
		return fmt.Errorf("renew the divided store: %w", err)
	}
	if err = p.visit(ctx, nil); err == nil {
		for _, part := range p.parts {
			if err = renew(ctx, part.Name); err != nil {
				err = fmt.Errorf("part %s: %w", part.Name, err)
				break
			}
		}
	}
	if err == nil {
		err = p.visit(ctx, func(opened []store.Part, charters [][]byte) error {
			now := make([]message.Incarnation, len(opened))
			for i, s := range opened {
				now[i] = s.Incarnation()
			}
			for i, s := range opened {
				granted, err := s.Grant(ctx, charters[i], p.charterOf(i, now))
				if err == nil && !granted {
					err = errors.New("its charter was changed meanwhile")
				}
				if err != nil {
					return fmt.Errorf("part %s: %w", p.parts[i].Name, err)
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("renew the divided store: %w", err)
	}
	return nil
}

// visit opens all parts, sees that each is the one that the plan names, whatever
// incarnations they know of each other, and closes them.
func (p *plan) visit(ctx context.Context, do func(opened []store.Part, charters [][]byte) error) (err error) {
	var opened []store.Part
	var charters [][]byte
	defer func() {
		for _, s := range opened {
			err = errors.Join(err, s.Close())
		}
	}()
	for i, part := range p.parts {
		s, err := part.Opener.(store.PartOpener).OpenPart(ctx, part.Shards)
		if err != nil {
			return fmt.Errorf("part %s: %w", part.Name, err)
		}
		opened = append(opened, s)
		charter, err := s.Charter(ctx)
		if err != nil {
			return fmt.Errorf("part %s: %w", part.Name, err)
		}
		charters = append(charters, charter)
		if len(charter) == 0 {
			return fmt.Errorf("part %s is no part of a divided store", part.Name)
		}
		if _, err := p.read(i, charter); err != nil {
			return err
		}
		used, err := s.Used(ctx)
		if err == nil {
			err = p.strangers(i, used)
		}
		if err != nil {
			return err
		}
	}
	if do == nil {
		return nil
	}
	return do(opened, charters)
}
