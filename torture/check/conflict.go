package check

import (
	"slices"
	"strings"
	"unicode"
)

// conflict judges that a conflict tells nothing of what is recorded (rule 3). It
// looks for the reply in it, whatever that is wrapped in; and it says the same of
// every key, so that there is no place for what is one key's.
func (j *judge) conflict(o *operation, r *request, lines []place) {
	if o.first != nil && leaks(r.text, o.first) {
		j.found(CodeConflictLeak, lines, "another payload under the key of %s is refused, and told the outcome", o)
		return
	}
	switch was := j.refusal; {
	case was == nil:
		j.refusal = r
	case was.text != r.text:
		j.found(CodeConflictLeak, append(lines, was.callAt, was.retAt), "another payload under the key of %s is refused with a text that is this key's own", o)
	}
}

// leaks says whether a text has something of an outcome in it.
func leaks(text string, outcome *request) bool {
	words := wordsOf(text)
	has := func(word string) bool { return word != "" && slices.Contains(words, word) }
	if outcome.answered == OK {
		return has("cents") || has("receipt") || outcome.receipt != "" && strings.Contains(text, outcome.receipt)
	}
	return has(outcome.code)
}

// wordsOf takes a text apart, so that it does not matter how often a reply in it is
// quoted.
func wordsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
