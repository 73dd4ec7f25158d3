package semeltest

// Kept is something outside of the program that a test models by itself, such as
// a database: it is made when it is first asked for by the name, and the same one
// is given to every later life of the program, as crashes of the program leave
// it as it is. It must be safe for concurrent use, and reached from effects by
// a Service of the World, so that the program can crash around each call.
func Kept[T any](w *World, name string, make func() *T) *T {
	l := w.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[string]any{}
	}
	if v, ok := l.kept[name].(*T); ok {
		return v
	}
	v := make()
	l.kept[name] = v
	return v
}
