package semeltest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// OnlyVar is the environment variable that runs only one case: "crash:7" of
// EveryCrash, "duplicate:18" of Duplicate, "reorder:3" of Reorder, and nothing
// of the other two. Failures name it.
const OnlyVar = "SEMELTEST_ONLY"

// kind is which of the three functions runs, as OnlyVar names it.
type kind string

const (
	crashes    kind = "crash"
	duplicates kind = "duplicate"
	orders     kind = "reorder"
)

// onlyCase is the case that the environment asks for: 0 for all of them. skip
// says that it is one of another function.
func onlyCase(k kind) (n int, skip bool, err error) {
	text := os.Getenv(OnlyVar)
	if text == "" {
		return 0, false, nil
	}
	name, number, _ := strings.Cut(text, ":")
	n, err = strconv.Atoi(number)
	of := kind(name)
	if err != nil || n < 1 || of != crashes && of != duplicates && of != orders {
		return 0, false, fmt.Errorf("%s is %q, which names no case: it must be as a failure prints it, such as crash:7, duplicate:18 or reorder:3", OnlyVar, text)
	}
	return n, of != k, nil
}
