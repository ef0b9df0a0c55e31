package console

import "strings"

// Pages are the patterns, as http.ServeMux has them, of all that somebody who is signed in may
// open: of a group's console, or of the management portal.
func Pages(portal bool) (all []string) {
	c := &Console{}
	routes := c.portalRoutes()
	if !portal {
		routes = c.routes()
	}
	for _, one := range routes {
		if strings.HasPrefix(one.pattern, "GET ") {
			all = append(all, one.pattern)
		}
	}
	return all
}
