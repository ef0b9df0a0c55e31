package admin

// FoundingRequest asks an independent coordinator for a code that founds a group, or that
// admits another coordinator.
type FoundingRequest struct {
	Group       string `json:"group,omitempty" maxLength:"63"`
	Coordinator bool   `json:"coordinator,omitempty" doc:"in place of a group"`
	Seconds     int64  `json:"seconds,omitempty" minimum:"0" maximum:"86400" doc:"its life; default 600"`
}

// RetireRequest has an independent coordinator forget a group, or one of its servers.
type RetireRequest struct {
	Group  string `json:"group" minLength:"1" maxLength:"63"`
	Server string `json:"server,omitempty" maxLength:"63" doc:"absent: the group with all its servers"`
}
