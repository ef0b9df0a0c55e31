package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"syscall"
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
			} else {
				outsideNext(&r, a)
			}
			list[i] = result("coordinator", a, r)
		})
	}
	all.Wait()
	return list
}

// outsideNext says what to do about a coordinator that is not reached at address: where it is
// looked for stands in the node file here, and it is no server of the group.
func outsideNext(r *reach.Result, address string) {
	switch {
	case r.Layer == reach.Lookup:
		r.NextStep = "put the name in " + address + " into the DNS or /etc/hosts of this machine, or correct coordinator.urls in the node file here"
	case errors.Is(r.Err, syscall.ECONNREFUSED):
		r.NextStep = "start the coordinator on that machine (`countersign coordinator --config FILE`); if it runs, its listen.coordinator is another address than coordinator.urls names here"
	case r.Layer == reach.TCP:
		r.NextStep = "see whether that machine runs, and whether a firewall between here and there lets the port of " + address + " through"
	case r.Layer == reach.TLS, r.Layer == reach.HTTP:
		r.NextStep = "is that the coordinator which the group was founded at? If not, correct coordinator.urls in the node file here; if so, look at its log"
	}
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
		r.NextStep = "this server joins the later epoch by itself once it reaches a server of that: bring the link to those back"
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
