package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

const (
	// bulkMost is how many users one act may be for.
	bulkMost = admin.MaxPage
	// bulkTime is how long one act may take; what is left then is not done, and told of.
	bulkTime = 45 * time.Second
	// bulkNamed is how many users a receipt names.
	bulkNamed = 50
)

// bulkAct is something that can be done to many users at once. Each of them is a write and a
// record of its own.
type bulkAct struct {
	Name  string // the text bulk.NAME says what it is
	needs mfa.Permission
	needy bool // it needs a word: a tag
	do    func(ctx context.Context, d admin.Desk, u admin.User, word string) error
}

// bulkActs are all of them.
var bulkActs = []bulkAct{
	{"block", mfa.MayBlock, false, func(ctx context.Context, d admin.Desk, u admin.User, word string) error {
		_, err := d.BlockUser(ctx, string(u.ID), admin.BlockRequest{Reason: word})
		return err
	}},
	{"unblock", mfa.MayBlock, false, func(ctx context.Context, d admin.Desk, u admin.User, _ string) error {
		_, err := d.UnblockUser(ctx, string(u.ID))
		return err
	}},
	{"unlock", mfa.MayBlock, false, func(ctx context.Context, d admin.Desk, u admin.User, _ string) error {
		_, err := d.UnlockUser(ctx, string(u.ID))
		return err
	}},
	{"disable", mfa.MayChangeState, false, stateOf(mfa.StateDenied)},
	{"enable", mfa.MayChangeState, false, stateOf(mfa.StateProtected)},
	{"tag", mfa.MayChangeScope, true, func(ctx context.Context, d admin.Desk, u admin.User, word string) error {
		return tagged(ctx, d, u, append(without(u.Tags, word), word))
	}},
	{"untag", mfa.MayChangeScope, true, func(ctx context.Context, d admin.Desk, u admin.User, word string) error {
		return tagged(ctx, d, u, without(u.Tags, word))
	}},
}

// stateOf sets the state of a user.
func stateOf(to mfa.State) func(context.Context, admin.Desk, admin.User, string) error {
	return func(ctx context.Context, d admin.Desk, u admin.User, _ string) error {
		name := to.String()
		_, err := d.SetUser(ctx, string(u.ID), admin.UserChange{State: &name})
		return err
	}
}

func without(tags []string, tag string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return t == tag })
}

func tagged(ctx context.Context, d admin.Desk, u admin.User, tags []string) error {
	_, err := d.SetUser(ctx, string(u.ID), admin.UserChange{Tags: &tags})
	return err
}

// bulkOf are those that the visitor may ask for.
func bulkOf(v *visitor) (all []bulkAct) {
	for _, a := range bulkActs {
		if v.Caller.Can(a.needs) {
			all = append(all, a)
		}
	}
	return all
}

// bulkNeeds are the permissions of which each is about one of them.
func bulkNeeds() (s mfa.Permissions) {
	for _, a := range bulkActs {
		s |= one(a.needs)
	}
	return s
}

// bulk is what the pages of an act on many users show: what would be done to whom, and then
// what was done and what was not.
type bulk struct {
	Act     string
	Word    string
	Count   int
	Named   []string // the first of them
	More    int      // how many others there are
	List    string   // names the users that were chosen, for the act
	Made    bool
	Done    int
	Refused []string // a line for each that was not done

	Slice bool              // more fit than are taken at once
	Rest  map[string]string // fields of the form that goes on with the others; empty: there are none
}

// name names users, as far as a receipt does.
func (b *bulk) name(logins []string) {
	b.Count = len(logins)
	b.Named = logins[:min(len(logins), bulkNamed)]
	b.More = len(logins) - len(b.Named)
}

// chosen are the users that a form is for: those that were marked, or those that fit a search, of
// whom bulkMost are taken at once. next is where the others begin; "": there are none.
func (c *Console) chosen(r *http.Request, v *visitor) (all []admin.User, next string, err error) {
	if r.PostFormValue("whom") == "fit" {
		l, err := c.desk(v).ListUsers(r.Context(), readFilter(r.PostFormValue).query(r.PostFormValue("after"), bulkMost))
		return l.Users, l.Next, err
	}
	ids := r.PostForm["id"]
	if len(ids) > bulkMost {
		return nil, "", fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "bulk.most", bulkMost))
	}
	for _, id := range ids {
		u, err := c.desk(v).User(r.Context(), id)
		if err != nil {
			return nil, "", err
		}
		all = append(all, u)
	}
	return all, "", nil
}

// rest is the form that goes on with those who fit and were not taken yet: the fields of the one
// before, and where they begin.
func rest(form url.Values, next string) map[string]string {
	all := readFilter(form.Get).Fields()
	all["whom"], all["act"], all["word"], all["after"] = "fit", form.Get("act"), form.Get("word"), next
	return all
}

// actOf finds the act that a form asks for.
func (c *Console) actOf(r *http.Request, v *visitor, name, word string) (bulkAct, error) {
	all := bulkOf(v)
	i := slices.IndexFunc(all, func(a bulkAct) bool { return a.Name == name })
	switch {
	case i < 0:
		return bulkAct{}, fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "bulk.noact"))
	case all[i].needy && word == "":
		return bulkAct{}, fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "bulk.noword"))
	}
	return all[i], nil
}

// lookBulk shows what would be done, and to whom.
func lookBulk(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	b := bulk{Act: r.PostFormValue("act"), Word: strings.TrimSpace(r.PostFormValue("word"))}
	_, err := c.actOf(r, v, b.Act, b.Word)
	var users []admin.User
	var next string
	if err == nil {
		users, next, err = c.chosen(r, v)
	}
	if err == nil && len(users) == 0 {
		err = fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "bulk.nobody"))
	}
	if err != nil {
		return err
	}
	form := url.Values{"act": {b.Act}, "word": {b.Word}}
	if b.Slice = next != ""; b.Slice {
		form["next"] = []string{next}
		for name, value := range readFilter(r.PostFormValue).Fields() {
			form.Set(name, value)
		}
	}
	var logins []string
	for _, u := range users {
		logins = append(logins, u.Login)
		form["id"], form["etag"] = append(form["id"], string(u.ID)), append(form["etag"], u.ETag())
	}
	b.name(logins)
	if b.List = c.kept.Put(v.User, web.Kept{Form: form}, c.Now()); b.List == "" {
		return errGone
	}
	c.show(w, r, http.StatusOK, "users-bulk", view{Nav: "users", Who: v, Data: b})
	return nil
}

// doBulk does to each of them what was shown, if they are as they were then, goes on after a
// refusal, and tells what became of each.
func doBulk(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	k, ok := c.kept.Take(v.User, r.PostFormValue("list"), c.Now())
	if !ok {
		return errGone
	}
	b := bulk{Act: k.Form.Get("act"), Word: k.Form.Get("word"), Made: true}
	act, err := c.actOf(r, v, b.Act, b.Word)
	if err != nil {
		return err
	}
	if next := k.Form.Get("next"); next != "" {
		b.Rest = rest(k.Form, next)
	}
	ctx, cancel := context.WithTimeout(r.Context(), bulkTime)
	defer cancel()
	ids, tags := k.Form["id"], k.Form["etag"]
	var done []string
	for i, id := range ids {
		login, err := c.bulkOne(ctx, v, act, id, tags[i], b.Word)
		switch {
		case ctx.Err() != nil && err != nil:
			b.Refused = append(b.Refused, c.say(r, "bulk.time", len(ids)-i))
			b.name(done)
			b.Done = len(done)
			c.show(w, r, http.StatusOK, "users-bulk", view{Nav: "users", Who: v, Data: b})
			return nil
		case err != nil:
			b.Refused = append(b.Refused, c.refused(r, login, err))
		default:
			done = append(done, login)
		}
	}
	b.name(done)
	b.Done = len(done)
	c.show(w, r, http.StatusOK, "users-bulk", view{Nav: "users", Who: v, Data: b})
	return nil
}

// bulkOne does it to one user, and returns how they are called.
func (c *Console) bulkOne(ctx context.Context, v *visitor, act bulkAct, id, etag, word string) (string, error) {
	d := c.desk(v).Seeing(etag)
	u, err := d.User(ctx, id)
	if err != nil {
		return id, err
	}
	return u.Login, act.do(ctx, d, u, word)
}

// noBulk leads who comes by a link to the list.
func noBulk(_ *Console, w http.ResponseWriter, r *http.Request, _ *visitor) error {
	http.Redirect(w, r, "/users", http.StatusSeeOther)
	return nil
}
