package node

import "golang.org/x/sys/unix"

const staUnsync = 0x40 // STA_UNSYNC of adjtimex(2)

// kernelSynchronised asks the kernel whether something keeps its clock right.
func kernelSynchronised() (ok, known bool) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, false
	}
	return state != unix.TIME_ERROR && t.Status&staUnsync == 0, true
}
