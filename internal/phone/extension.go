package phone

import "fmt"

// maxExtension is the longest extension that is dialled.
const maxExtension = 20

// CheckExtension reports what is wrong with an extension: digits, * and #, and a comma for a
// pause of one second.
func CheckExtension(s string) error {
	if len(s) > maxExtension {
		return fmt.Errorf("extension: at most %d characters", maxExtension)
	}
	for _, c := range s {
		if c != ',' && c != '*' && c != '#' && (c < '0' || c > '9') {
			return fmt.Errorf("extension %q: want digits, * and #, and a comma for each second of waiting, as in \",,417\"", s)
		}
	}
	return nil
}
