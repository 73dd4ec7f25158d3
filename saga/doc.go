// Package saga runs sagas: named steps with compensations, which take as long as
// they take, and end completed or undone (Garcia-Molina, Salem: "Sagas", 1987).
package saga
