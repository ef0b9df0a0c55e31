package smpp

import (
	"strconv"
	"strings"
)

// IDs returns the forms that a receipt's id may have had in the answer to submit_sm: many
// providers tell a number in hexadecimal there and in decimal in the receipt. All are in the
// form of CleanID.
func IDs(id string) []string {
	id = CleanID(id)
	all := []string{id}
	if n, err := strconv.ParseUint(id, 10, 64); err == nil {
		all = append(all, strconv.FormatUint(n, 16))
	}
	return all
}

// CleanID returns the form of a message_id in which two that mean the same are equal.
func CleanID(id string) string {
	id = strings.ToLower(strings.TrimSpace(id))
	if short := strings.TrimLeft(id, "0"); short != "" {
		return short
	}
	return id
}
