package declare

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/template"
	"text/template/parse"
)

// textual has whatever a template writes checked: it would write a null as
// "<no value>", and an object as Go's map, and so name an agent that nobody means.
func textual(t *template.Template) {
	for _, each := range t.Templates() {
		if each.Tree != nil {
			checkWritten(each.Tree, each.Root)
		}
	}
}

// checkWritten ends each pipeline below a node whose value is written with the
// function text, as html/template does with its escapers.
func checkWritten(tree *parse.Tree, n parse.Node) {
	branch := func(b *parse.BranchNode) {
		checkWritten(tree, b.List)
		if b.ElseList != nil {
			checkWritten(tree, b.ElseList)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, below := range n.Nodes {
			checkWritten(tree, below)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 { // a variable that is set is not written
			check := parse.NewIdentifier("text").SetTree(tree).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{check}})
		}
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}

// text lets through what can be a part of an agent's id.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case int:
		return fmt.Sprint(v), nil
	case nil:
		return "", errors.New("the value is null; an agent's id is made of text and numbers")
	}
	return "", fmt.Errorf("the value is a %T; an agent's id is made of text and numbers", v)
}
