//go:build nextschema

package store

// A schema that there is not yet, for tests of an upgrade: profiles have a further field.

// Schema is the newest schema of records that this program reads and writes.
const Schema = 2

// userAdded is what later schemas have added to a profile.
type userAdded struct {
	Next bool `json:"next,omitempty"` // schema 2
}

// add fills it in for a group that writes that schema, and returns the record's version.
func (a *userAdded) add(g GroupSchema) (v int) {
	if g.Schema < 2 {
		return schema
	}
	a.Next = true
	return 2
}
