package store

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// FindUsers yields, as ListUsers does, those in whose login, aliases, name or mail address
// text is found, whatever the case ("": everybody), whom like takes by what users of their kind have
// (see Kinds), and user by what is not sealed of them (nil: everybody). First come those of whom one
// of these begins with text. after is the last user of the page before, of the same search.
func (s *Store) FindUsers(ctx context.Context, text string, user func(mfa.User) bool, like func(settlement.Account) bool, after mfa.UserID, yield func(mfa.User) bool) error {
	var behind rawID
	if after != "" {
		var ok bool
		if behind, ok = parseID(after); !ok {
			return badID("user", string(after))
		}
	}
	takes, nobody, err := s.alike(like)
	if err != nil || nobody {
		return err
	}
	var bad error
	show := func(id rawID) bool {
		u, ok, err := s.shown(id, user, takes)
		if bad == nil {
			bad = err
		}
		return !ok || yield(s.overlay.showUser(u))
	}
	if strings.Contains(text, fieldEnd) { // names are of one line
		return nil
	}
	err = s.walk(ctx, strings.ToLower(text), behind, after != "", show)
	if err == nil {
		err = bad
	}
	return err
}

// shown opens a user whom user and takes take; ok is false for the others.
func (s *Store) shown(id rawID, user func(mfa.User) bool, takes func(rawID) (bool, error)) (u mfa.User, ok bool, err error) {
	if takes != nil {
		if ok, err := takes(id); !ok || err != nil {
			return u, false, err
		}
	}
	e, err := s.view.entryOf(id)
	if err != nil || e.profile.rev == 0 {
		return u, false, err // removed since
	}
	if user != nil {
		plain, err := s.plainUser(mfa.UserID(id.String()), e.profile.data)
		if err != nil || !user(s.overlay.showUser(plain)) {
			return u, false, err
		}
	}
	u, err = s.openUser(mfa.UserID(id.String()), e.profile.data)
	return u, err == nil, err
}

// walk yields the ids of a search.
func (s *Store) walk(ctx context.Context, text string, after rawID, later bool, yield func(rawID) bool) error {
	if text == "" {
		s.find.want() // who looks at the list may search next
		from := mfa.UserID("")
		if later {
			from = mfa.UserID(after.String())
		}
		ids, err := s.idsAfter(from)
		return each(ctx, ids, err, yield)
	}
	all, bad := s.searchable(context.WithoutCancel(ctx)) // who types on gives this search up, and needs it with the next
	if all == nil {
		return bad
	}
	first := true // those come whom a name begins with text
	if known, ok := all.textOf(after); later && ok {
		first = strings.Contains(known, fieldEnd+text)
	}
	begin, start := fieldEnd+text, after
	if !first {
		begin = ""
	}
	for {
		more, err := all.search(ctx, text, begin, start, later, yield)
		if !more || err != nil || begin == "" {
			return firstOf(err, bad)
		}
		begin, later = "", false
	}
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// each yields ids until ctx ends.
func each(ctx context.Context, ids []rawID, err error, yield func(rawID) bool) error {
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := ctx.Err(); i%256 == 0 && err != nil {
			return err
		}
		if !yield(id) {
			return nil
		}
	}
	return nil
}

// fieldEnd stands before, between and behind the names of a user.
const fieldEnd = "\n"

// findable joins what can be searched for of a user, in lower case.
func findable(u mfa.User) string {
	return fieldEnd + strings.ToLower(strings.Join(slices.Concat([]string{u.Login, u.Name, u.Email}, u.Aliases), fieldEnd)) + fieldEnd
}

// texts are what can be searched for of many users, one behind the other in the order of
// their ids: one sweep through some megabytes takes milliseconds. It is never changed.
type texts struct {
	ids  []rawID
	revs []int64  // of the profiles that the texts were made from
	at   []uint32 // where the text of each begins, and at the end where the last one ends
	text []byte
}

func (t *texts) add(id rawID, rev int64, text string) {
	if len(t.at) == 0 {
		t.at = append(t.at, 0)
	}
	t.ids, t.revs, t.text = append(t.ids, id), append(t.revs, rev), append(t.text, text...)
	t.at = append(t.at, uint32(len(t.text))) //nolint:gosec // four gigabytes of names are forty million users
}

func (t *texts) of(i int) []byte { return t.text[t.at[i]:t.at[i+1]] }

func (t *texts) find(id rawID) (int, bool) { return slices.BinarySearchFunc(t.ids, id, compareIDs) }

// next returns the first user from i on in whose text needle is found; len(t.ids): none.
func (t *texts) next(i int, needle []byte) int {
	if i >= len(t.ids) {
		return len(t.ids)
	}
	hit := bytes.Index(t.text[t.at[i]:], needle)
	if hit < 0 {
		return len(t.ids)
	}
	at := t.at[i] + uint32(hit) //nolint:gosec // within text
	if at < t.at[i+1] {
		return i
	}
	j, exact := slices.BinarySearch(t.at[i+1:], at)
	if exact {
		return i + 1 + j
	}
	return i + j
}
