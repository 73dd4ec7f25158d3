package outbox_test

const childKind = "SEMEL_TEST_OUTBOX_CHILD"

func childMain() int { return 0 }
