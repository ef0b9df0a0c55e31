package mfa

import (
	"slices"
	"strings"
)

// scopeID begins what a scope keeps of an application. Without it an entry is the name of one, as
// passes kept it before: it may since be another's.
const scopeID = "id:"

// ScopeOf is what a pass keeps of an application that it is good for: an application can be
// renamed, and another take its name.
func ScopeOf(id ApplicationID) string { return scopeID + string(id) }

// InScope reports whether a pass of that scope is good for a.
func InScope(scope []string, a Application) bool {
	return len(scope) == 0 || slices.ContainsFunc(scope, func(one string) bool {
		id, known := strings.CutPrefix(one, scopeID)
		return known && id == string(a.ID) || !known && one == a.Name
	})
}

// ScopeNames are what the applications of a scope are called now. One that is there no more has
// its entry.
func ScopeNames(scope []string, all []Application) (names []string) {
	for _, one := range scope {
		id, known := strings.CutPrefix(one, scopeID)
		if i := slices.IndexFunc(all, func(a Application) bool { return string(a.ID) == id }); known && i >= 0 {
			one = all[i].Name
		}
		names = append(names, one)
	}
	return names
}
