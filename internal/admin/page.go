package admin

// Page is one part of a list: at most Limit of what comes after a cursor. 0: MaxPage.
type Page struct {
	After string
	Limit int
}

// cut returns the part of all, which is in the order of key, and the cursor of the next one
// ("" after the last).
func cut[T any](all []T, p Page, key func(T) string) (part []T, next string) {
	limit := p.Limit
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	for i, v := range all {
		if p.After != "" && key(v) <= p.After {
			continue
		}
		rest := all[i:]
		if len(rest) > limit {
			return rest[:limit], key(rest[limit-1])
		}
		return rest, ""
	}
	return all[:0:0], ""
}

// Page returns one part of the list.
func (l ApplicationList) Page(p Page) ApplicationList {
	l.Applications, l.Next = cut(l.Applications, p, func(a Application) string { return a.Name })
	l.Applications = list(l.Applications)
	return l
}

// Page returns one part of the list.
func (l DirectoryList) Page(p Page) DirectoryList {
	l.Directories, l.Next = cut(l.Directories, p, func(d Directory) string { return d.Name })
	l.Directories = list(l.Directories)
	return l
}

// Page returns one part of the list.
func (l APITokenList) Page(p Page) APITokenList {
	l.APITokens, l.Next = cut(l.APITokens, p, func(t APIToken) string { return t.Name })
	l.APITokens = list(l.APITokens)
	return l
}

// Page returns one part of the list.
func (l AdministratorList) Page(p Page) AdministratorList {
	l.Administrators, l.Next = cut(l.Administrators, p, func(a Administrator) string { return a.Login })
	l.Administrators = list(l.Administrators)
	return l
}
