package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"
)

// maxLine bounds a line of a stream of events, which has a state in it.
const maxLine = 16 << 20

// event is one event of a stream (WHATWG HTML, section 9.2).
type event struct {
	id   string // the last id of the stream, also if this event has none
	name string
	data []byte
}

// eventReader reads a stream of events.
type eventReader struct {
	r     *bufio.Reader
	heard func() // called for each line, comments included
	id    string
	retry time.Duration // the last one that the stream asked for
	line  []byte
	begun bool
	cr    bool // the last line ended with a carriage return
}

func newEventReader(r io.Reader, heard func()) *eventReader {
	return &eventReader{r: bufio.NewReaderSize(r, 16<<10), heard: heard}
}

var errLongLine = errors.New("a line of the stream is too long")

// next reads the next event. One that the stream ends in is not told: an event
// is complete with its empty line only. Its data is good until the next call.
func (s *eventReader) next() (event, error) {
	var name string
	var data []byte
	some := false
	for {
		line, err := s.readLine()
		if err != nil {
			return event{}, err
		}
		s.heard()
		if len(line) == 0 {
			if !some {
				name = "" // only comments, or an id
				continue
			}
			if name == "" {
				name = "message"
			}
			return event{id: s.id, name: name, data: bytes.TrimSuffix(data, []byte{'\n'})}, nil
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "event":
			name = string(value)
			// The standard drops events without data; ours may have none.
			some = true
		case "data":
			data = append(append(data, value...), '\n')
			some = true
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				s.id = string(value)
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				s.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// readLine reads a line that ends with LF, CR, or both. A line that is cut off
// is an error.
func (s *eventReader) readLine() ([]byte, error) {
	s.line = s.line[:0]
	for {
		b, err := s.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // a feed has no end
			}
			return nil, err
		}
		after := s.cr
		s.cr = b == '\r'
		switch {
		case b == '\n' && after:
			continue // the rest of a line end
		case b == '\n' || b == '\r':
			if !s.begun {
				s.begun = true
				return bytes.TrimPrefix(s.line, []byte("\xef\xbb\xbf")), nil
			}
			return s.line, nil
		case len(s.line) == maxLine:
			return nil, errLongLine
		}
		s.line = append(s.line, b)
	}
}
