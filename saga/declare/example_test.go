package declare_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/saga/declare"
	"github.com/semel-dev/semel/store/mem"
)

// A saga that is data: it moves cents between accounts, and takes them back if
// the second account does not take them.
func Example() {
	ctx := context.Background()
	app, err := semel.Open(ctx, mem.New(), nil)
	if err != nil {
		panic(err)
	}
	defer app.Close(ctx)
	ledger.Register(app)
	sagas := saga.Register(app, nil)

	const cents = `{"cents": {{json .input.cents}}}`
	move := declare.Saga{Steps: []declare.Step{
		{
			Name: "take", Do: declare.Call{Agent: "account/{{.input.from}}", Action: "debit", Body: cents},
			Undo: &declare.Call{Agent: "account/{{.input.from}}", Action: "credit", Body: cents},
		},
		{Name: "give", Do: declare.Call{Agent: "account/{{.input.to}}", Action: "credit", Body: cents}},
	}}
	versions, err := move.Versions()
	if err == nil {
		_, err = saga.Define(sagas, "move", versions...)
	}
	if err == nil {
		err = app.Start(ctx)
	}
	if err != nil {
		panic(err)
	}
	if _, err := app.Do(ctx, semel.Request{Type: "account", ID: "ada", Action: "open", Key: "open", Body: json.RawMessage(`{"cents":100}`)}); err != nil {
		panic(err)
	}
	_, o, err := sagas.Run(ctx, "move", "move-1", json.RawMessage(`{"from":"ada","to":"bob","cents":30}`))
	fmt.Println(string(o.Reply), err)
	// Output: {"input":{"from":"ada","to":"bob","cents":30},"replies":{"give":{"cents":30},"take":{"cents":70}}} <nil>
}
