package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// A promotion is offered where `group promote` would be allowed, and nowhere else; whoever
// follows the offer sees first what would be done, what is known and what would be lost.

// offer is what the status page offers.
type offer struct {
	Planned  bool // the master can be moved, without loss
	From, To string
	Disaster bool // the master is lost, and this server could begin a new epoch
}

// offer looks, and changes nothing, for whoever may promote.
func (c *Console) offer(r *http.Request, v *visitor) (o offer) {
	if !v.Caller.Can(mfa.MayOwn) {
		return o
	}
	st, err := c.Admin.Status(r.Context())
	if err != nil {
		return o
	}
	if st.Degraded {
		_, err := c.desk(v).PromoteDisaster(r.Context(), admin.DisasterRequest{DryRun: true})
		o.Disaster = err == nil
		return o
	}
	p, err := c.desk(v).PromoteServer(r.Context(), admin.PromotionRequest{DryRun: true})
	if err == nil && !p.Done() {
		o = offer{Planned: true, From: p.OldMaster, To: p.NewMaster}
	}
	return o
}

func offerPart(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.render(w, r, http.StatusOK, "status", "offer", view{Who: v, Data: state{Offer: c.offer(r, v)}})
	return nil
}

// promotion is what the page of a planned promotion shows.
type promotion struct {
	mfa.Promotion
	To      string // as it was chosen; "": the fittest
	Allowed bool
	Others  []string // that may be chosen
	Members []admin.Member
	Made    bool // it was done
}

func (c *Console) promotion(r *http.Request, v *visitor, to string) (promotion, error) {
	s := promotion{To: to}
	all, err := c.desk(v).Servers(r.Context())
	if err != nil {
		return s, err
	}
	s.Members = all.Members
	s.Promotion, err = c.desk(v).PromoteServer(r.Context(), admin.PromotionRequest{To: to, DryRun: true})
	s.Allowed = err == nil && !s.Done()
	for _, m := range s.Members {
		if m.Role != mfa.RoleWitness && m.Role != "master" {
			s.Others = append(s.Others, m.Name)
		}
	}
	return s, err
}

func promotionPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	s, err := c.promotion(r, v, r.URL.Query().Get("to"))
	c.showPromotion(w, r, v, s, err)
	return nil
}

// showPromotion shows the receipt, or what is in the way: that is an answer, not a fault.
func (c *Console) showPromotion(w http.ResponseWriter, r *http.Request, v *visitor, s promotion, err error) {
	page, status := view{Nav: "status", Who: v, Data: s}, http.StatusOK
	if err != nil {
		page.Error, status = err.Error(), web.StatusOf(err)
	}
	c.show(w, r, status, "promotion", page)
}

// moveMaster makes the server the master that the receipt named, if the group is still as the
// receipt said.
func moveMaster(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	to := r.PostFormValue("to")
	s, err := c.promotion(r, v, to)
	switch {
	case err != nil || !s.Allowed:
		c.showPromotion(w, r, v, s, err)
		return nil
	case to == "" || s.OldMaster != r.PostFormValue("from") || strconv.FormatUint(s.Epoch, 10) != r.PostFormValue("epoch"):
		c.showPromotion(w, r, v, s, fmt.Errorf("%w: %s", mfa.ErrChanged, c.say(r, "promotion.changed")))
		return nil
	}
	done, err := c.desk(v).PromoteServer(r.Context(), admin.PromotionRequest{To: to})
	if err != nil {
		c.showPromotion(w, r, v, s, err)
		return nil
	}
	s.Promotion, s.Made, s.Allowed = done, true, false
	c.showPromotion(w, r, v, s, nil)
	return nil
}

// disaster is what the page of a disaster promotion shows.
type disaster struct {
	mfa.DisasterPromotion
	Allowed bool
	Force   bool // though a server is fresher, or the coordinator cannot be asked
	ByForce bool // that would allow it
	Made    bool
}

// disaster judges, and changes nothing.
func (c *Console) disaster(r *http.Request, v *visitor, force bool) (disaster, error) {
	s := disaster{Force: force}
	var err error
	s.DisasterPromotion, err = c.desk(v).PromoteDisaster(r.Context(), admin.DisasterRequest{Force: force, DryRun: true})
	s.Allowed = err == nil
	if err != nil && !force {
		_, forced := c.desk(v).PromoteDisaster(r.Context(), admin.DisasterRequest{Force: true, DryRun: true})
		s.ByForce = forced == nil
	}
	return s, err
}

func disasterPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	s, err := c.disaster(r, v, r.URL.Query().Get("force") != "")
	c.showDisaster(w, r, v, s, err)
	return nil
}

func (c *Console) showDisaster(w http.ResponseWriter, r *http.Request, v *visitor, s disaster, err error) {
	page, status := view{Nav: "status", Who: v, Data: s}, http.StatusOK
	if err != nil {
		page.Error, status = err.Error(), web.StatusOf(err)
	}
	c.show(w, r, status, "disaster", page)
}

// beginEpoch begins a new epoch on this server. What ends has been typed.
func beginEpoch(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	force := r.PostFormValue("force") != ""
	s, err := c.disaster(r, v, force)
	if err == nil {
		var done mfa.DisasterPromotion
		done, err = c.desk(v).PromoteDisaster(r.Context(), admin.DisasterRequest{Confirm: strings.TrimSpace(r.PostFormValue("confirm")), Force: force})
		if err == nil {
			s.DisasterPromotion, s.Made, s.Allowed = done, true, false
		}
	}
	c.showDisaster(w, r, v, s, err)
	return nil
}
