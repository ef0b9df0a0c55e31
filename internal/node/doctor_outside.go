package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/reach"
)

// checkOutside tries every address of the independent coordinator, all at once.
func (s *server) checkOutside(ctx context.Context) []admin.Check {
	addresses := outsideCoordinator{s.link}.Addresses()
	list := make([]admin.Check, len(addresses))
	var all sync.WaitGroup
	for i, a := range addresses {
		all.Go(func() {
			t := s.target(mfa.Member{Name: "the coordinator"}, a, "listen.coordinator", coordinator.PathMaster+"?group="+url.QueryEscape(s.node.Group()))
			t.Protocol = coordinator.Protocol
			r := reach.Try(ctx, t)
			if r.OK {
				var signed coordinator.Signed
				err := group.ReadAnswer(r.Response, &signed)
				s.judgeOutside(&r, signed, err)
			}
			list[i] = result("coordinator", a, r)
		})
	}
	all.Wait()
	return list
}

// judgeOutside judges what the coordinator has answered.
func (s *server) judgeOutside(r *reach.Result, signed coordinator.Signed, err error) {
	var st coordinator.Standing
	if err == nil {
		st, err = signed.OpenBy(s.peers.ca)
	}
	own := s.node.Epoch()
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		r.OK, r.Layer, r.Detail = false, reach.Authorisation, err.Error()
		r.NextStep = "the coordinator has forgotten this group (`coordinator retire`, or an old backup): sign-ins and changes go on; look at coordinator.urls, and at the coordinator's trail"
	case err != nil:
		r.OK, r.Layer, r.Detail = false, reach.HTTP, err.Error()
		r.NextStep = "look at coordinator.urls: is that the coordinator which the group was founded at? If so, look at its log"
	case st.Epoch > own:
		r.OK, r.Layer, r.Detail = false, reach.Epoch, fmt.Sprintf("it knows epoch %d of this group with the master %s, this server's database is of epoch %d", st.Epoch, st.Last, own)
		r.NextStep = "restart this server: it joins the later epoch by itself once it reaches a server of that"
	default:
		r.Layer = reach.Epoch
		r.Detail = fmt.Sprintf("%s is master in epoch %d since %s, says %s", orNobody(st.Name), st.Epoch, st.Since.Format(time.RFC3339), st.By)
	}
}

func orNobody(master string) string {
	if master == "" {
		return "nobody that it hears"
	}
	return master
}
