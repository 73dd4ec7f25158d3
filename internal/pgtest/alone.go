package pgtest

// Alone starts a server for a program that is no test, such as a benchmark. stop
// ends it and removes all that it kept.
func Alone(opts ...Option) (s *Server, stop func() error, err error) {
	if s, err = start(opts); err != nil {
		return nil, nil, err
	}
	return s, s.remove, nil
}
