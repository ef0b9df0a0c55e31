//go:build !race

package e2e_test

// raced tells that the tests run under the race detector.
const raced = false
