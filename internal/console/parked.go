package console

import (
	"errors"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// parkedList is what the page of parked copies shows.
type parkedList struct {
	admin.ParkedList
	Did     []string // what an act has done, a line each
	Refused []string // and what it has not
}

func parkedPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return c.showParked(w, r, v, http.StatusOK, parkedList{}, "")
}

func (c *Console) showParked(w http.ResponseWriter, r *http.Request, v *visitor, status int, l parkedList, said string) (err error) {
	if l.ParkedList, err = c.desk(v).ListParked(r.Context()); err != nil {
		return err
	}
	c.show(w, r, status, "parked", view{Nav: "settings", Sub: "parked", Who: v, Data: l, Error: said})
	return nil
}

// doParked applies or discards the changes that were chosen, goes on after a refusal, and
// tells what became of each.
func doParked(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	act, ids := r.PostFormValue("do"), r.PostForm["id"]
	switch {
	case act != "apply" && act != "discard":
		return mfa.ErrInvalid
	case len(ids) == 0:
		return c.showParked(w, r, v, http.StatusUnprocessableEntity, parkedList{}, c.say(r, "parked.nothing"))
	case act == "discard" && r.PostFormValue("sure") == "":
		return c.showParked(w, r, v, http.StatusUnprocessableEntity, parkedList{}, c.say(r, "parked.unsure"))
	}
	var l parkedList
	for _, id := range ids {
		var change admin.ParkedChange
		var err error
		if act == "apply" {
			change, err = c.desk(v).ApplyParked(r.Context(), id, admin.ParkedRequest{Force: r.PostFormValue("force") != ""})
		} else {
			change, err = c.desk(v).DiscardParked(r.Context(), id)
		}
		if err != nil {
			l.Refused = append(l.Refused, c.refused(r, id, err))
			continue
		}
		l.Did = append(l.Did, strings.Join([]string{change.ID, string(change.Kind), change.Object, change.What}, " "))
	}
	return c.showParked(w, r, v, http.StatusOK, l, "")
}

// releaseHold lets codes pass that a promotion holds back.
func releaseHold(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.desk(v).ReleaseHold(r.Context())
	if mistake(err) || errors.Is(err, mfa.ErrNotFound) {
		return c.showParked(w, r, v, web.StatusOf(err), parkedList{}, err.Error())
	} else if err != nil {
		return err
	}
	done(w, r, "/parked", "done.released")
	return nil
}
