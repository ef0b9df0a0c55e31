package portal

import "strings"

// Pages are the patterns, as http.ServeMux has them, of all that a user who is signed in may open.
func Pages() []string {
	all := []string{"GET " + home + "{$}"}
	for pattern := range routes {
		if strings.HasPrefix(pattern, "GET ") {
			all = append(all, pattern)
		}
	}
	return all
}
