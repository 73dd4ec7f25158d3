package main

import "fmt"

// treePrinter gathers a root, its branches, and details below either.
type treePrinter struct {
	head     string
	details  []string
	branches []node
}

type node struct {
	text    string
	details []string
}

func (t *treePrinter) root(form string, args ...any) { t.head = fmt.Sprintf(form, args...) }

func (t *treePrinter) branch(form string, args ...any) {
	t.branches = append(t.branches, node{text: fmt.Sprintf(form, args...)})
}

// detail is below the last branch, or below the root if there is none yet.
func (t *treePrinter) detail(form string, args ...any) {
	to := &t.details
	if n := len(t.branches); n > 0 {
		to = &t.branches[n-1].details
	}
	*to = append(*to, fmt.Sprintf(form, args...))
}

func (t *treePrinter) lines() []string {
	all := []string{t.head}
	for _, d := range t.details {
		all = append(all, "│  "+d)
	}
	for i, b := range t.branches {
		fork, below := "├─ ", "│     "
		if i == len(t.branches)-1 {
			fork, below = "└─ ", "      "
		}
		all = append(all, fork+b.text)
		for _, d := range b.details {
			all = append(all, below+d)
		}
	}
	return all
}
