//go:build !nextschema

package store

// Schema is the newest schema of records that this program reads and writes.
const Schema = 1

// userAdded is what later schemas have added to a profile.
type userAdded struct{}

// add fills it in for a group that writes that schema, and returns the record's version.
func (*userAdded) add(GroupSchema) (v int) { return schema }
