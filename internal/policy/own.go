package policy

import (
	"slices"

	"countersign/internal/mfa"
)

// consoleMethods are the methods of the console where an owner has named none: what goes through
// a gateway proves little of an owner to whoever may change gateways.
var consoleMethods = slices.DeleteFunc(slices.Clone(defaultOrder), mfa.MethodID.Reaches)

// withMethods returns a with the methods that it has where nobody has named any.
func withMethods(a mfa.Application) mfa.Application {
	if len(a.Methods) == 0 && OwnPages(a) && a.Name == "console" {
		a.Methods = consoleMethods
	}
	return a
}
