package mutants

import "slices"

// perDay is about how many mutants a day's sample comes to.
const perDay = 5

// Turn puts the mutants into a day's order, for a sample that has time for the
// first of them only: neighbours of the tables are far apart, and each day
// begins where the day before may have ended.
func Turn(all []Mutant, day int) []Mutant {
	n := len(all)
	if n == 0 {
		return nil
	}
	stride := n*5/8 | 1
	for gcd(stride, n) != 1 {
		stride += 2
	}
	turned := make([]Mutant, n)
	for i := range turned {
		turned[i] = all[i*stride%n]
	}
	from := day * perDay % n
	return slices.Concat(turned[from:], turned[:from])
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
