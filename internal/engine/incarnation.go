package engine

import "github.com/semel-dev/semel/message"

// Incarnation is the store's.
func (e *Engine) Incarnation() message.Incarnation { return e.store.Incarnation() }
