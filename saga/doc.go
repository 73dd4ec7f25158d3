// Package saga runs sagas: named steps with compensations, each an effect or an
// agent's action, which take as long as they take, and end completed or undone
// (Garcia-Molina, Salem: "Sagas", 1987).
//
//	sagas := saga.Register(app, nil)
//	trips := saga.New(sagas, "trip", saga.Version[Trip]{Number: 1, Stages: []saga.Stage[Trip]{
//		saga.Step[Trip]{Name: "flight", Do: saga.Effect(book, flightOf, keepFlight), Undo: saga.UndoEffect(cancel, refOf, nil)},
//		saga.Step[Trip]{Name: "payment", Pivot: true, Do: saga.Effect(charge, chargeOf, keepReceipt)},
//	}})
//	trip, err := trips.Run(ctx, "order-42", Trip{Order: "order-42"})
//
// # How it works
//
// A running saga is one agent, of type "saga." and the definition's name. Its
// state is S and a record of each step (record.go); every answer, timer and order
// is a step of it. The machine (machine.go) takes the record from one event to
// the next and says what to ask for; it does nothing itself. The agent
// (agent.go) brings events and carries orders out. The call that started the
// saga is deferred until its end, by whichever step brings that
// (semel.Bound.For).
//
//  1. A step's compensation is registered in the commit that asks for the step.
//  2. Nothing is undone before everything that the saga asked for was answered.
//     What is to be undone and has no answer is withdrawn (semel.Step.Withdraw),
//     so it is never called afterwards.
//  3. What may have happened is never asked for again, but by somebody's word.
//  4. There is one end, and the agent never leaves it.
//
// It stands on the public API, and imports no more. docs/guides/sagas.md tells
// how it is used. Start reading at New, then Registry.
package saga
