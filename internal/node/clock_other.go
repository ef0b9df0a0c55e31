//go:build !linux

package node

// kernelSynchronised: not told here.
func kernelSynchronised() (ok, known bool) { return false, false }
