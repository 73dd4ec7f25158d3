// Package mutants plants bugs into the real code and sees whether the tests
// find them: tests that find none prove nothing.
//
// A mutant is data: a file, a text that occurs in it exactly once, and another
// text in its place. The go command is told of the changed file with -overlay,
// so nothing of a mutant is in the code, in a build tag or in a release. The
// tests of this package see to it that the texts are still there.
//
// It is for tests and measurements; `make mutants` runs it. Start reading at
// Mutant; the tables are in table_*.go, by the part of the system they are in.
package mutants
