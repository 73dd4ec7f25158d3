package message

import "fmt"

func ExampleFingerprintOf() {
	alice := Agent{Tenant: DefaultTenant, Type: "account", ID: "alice"}
	first, _ := FingerprintOf(alice, "transfer", []byte(`{"to": "bob", "amount": 10}`))
	retry, _ := FingerprintOf(alice, "transfer", []byte(`{"amount":10.0,"to":"\u0062ob"}`))
	other, _ := FingerprintOf(alice, "transfer", []byte(`{"amount":11,"to":"bob"}`))
	fmt.Println(first == retry, first == other)
	// Output: true false
}

func ExampleCanonical() {
	b, _ := Canonical(nil, []byte(`{ "to": "b\u00f6b", "amount": 1.50e1 }`))
	fmt.Println(string(b))
	_, err := Canonical(nil, []byte(`{"amount": 1, "amount": 2}`))
	fmt.Println(err)
	// Output:
	// {"amount":15,"to":"böb"}
	// the body is not acceptable JSON: at byte 14, a member name comes a second time in its object; send each member once: parsers disagree on which of two wins
}
