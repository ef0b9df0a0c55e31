package node

import "countersign/internal/group"

// sights are what RADIUS clients have sent to this server lately and led to no verdict, for
// the others of the group: whoever sets a client up looks at the pages of any of them.
func (s *server) sights() []group.Sight {
	if s.fronts.Load() == nil || s.radius == nil { // it is still being put together
		return nil
	}
	var all []group.Sight
	for _, one := range s.radius.Sights() {
		all = append(all, group.Sight{Time: one.Time, Application: one.Application, Client: one.Client.String(), What: one.What, Detail: one.Detail})
	}
	return all
}
