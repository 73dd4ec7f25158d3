package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// size is a number of bytes.
type size int64

// secret is text that is never printed: not by fmt, not by slog, not as JSON.
type secret string

const redacted = "(redacted)"

func (secret) String() string               { return redacted }
func (secret) GoString() string             { return redacted }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func (s size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseSize takes bytes, or whole KiB, MiB or GiB. MB is refused, because it
// means two things.
func parseSize(text string) (size, error) {
	digits, unit := text, int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(text, u.name); ok {
			digits, unit = strings.TrimSpace(d), u.bytes
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, errors.New("it must be a number of bytes, or one of KiB, MiB or GiB, as in 64MiB")
	}
	return size(n * unit), nil
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[size]()
)

// parseText reads a value of one of the types of settings, as a variable or a
// flag has it: a list is separated by commas.
func parseText(t reflect.Type, text string) (any, error) {
	switch {
	case t == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, errors.New("it must be a time with its unit, as in 300ms, 10s, 5m or 24h")
		}
		return d, nil
	case t == sizeType:
		return parseSize(text)
	case t.Kind() == reflect.String:
		return reflect.ValueOf(text).Convert(t).Interface(), nil
	case t.Kind() == reflect.Bool:
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, errors.New("it must be true or false")
	case t.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("it must be a whole number")
		}
		return n, nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		list := []string{}
		for s := range strings.SplitSeq(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("a value of type %v cannot be given as text", t)
}

// formatText is the reverse of parseText.
func formatText(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ",")
	case time.Duration:
		return shortDuration(v)
	case secret:
		if v == "" {
			return ""
		}
	}
	return fmt.Sprint(v)
}

// shortDuration drops the zeros that time.Duration prints: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
