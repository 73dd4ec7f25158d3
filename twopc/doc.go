// Package twopc makes what several agents and databases do happen everywhere or
// nowhere: two-phase commit with presumed abort (Mohan, Lindsay, Obermarck:
// "Transaction Management in the R* Distributed Database Management System",
// 1986), whose coordinator is an agent.
package twopc
