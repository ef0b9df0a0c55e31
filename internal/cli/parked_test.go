package cli_test

import (
	"countersign/internal/admin/admintest"
	"countersign/internal/mfa"
	"countersign/internal/parking"
)

// parkedChanges is what a server has brought back: a user, another one's phone number that was
// changed on both sides, and a credential that was removed.
func parkedChanges() *admintest.Parked {
	carol := mfa.User{ID: "carolcarolcarol2", Login: "carol", State: mfa.StateProtected, Phone: "+15550100"}
	dave, then := mfa.User{ID: "davedavedavedav2", Login: "dave", Phone: "+15550101"}, mfa.User{ID: "davedavedavedav2", Login: "dave", Phone: "+15550102"}
	lost := mfa.Credential{ID: "credcredcredcre2", User: dave.ID, Method: mfa.MethodTOTP, Label: "old phone"}
	return &admintest.Parked{
		Changes: []parking.Change{
			{ID: "aaaaaaaaaaaaaaaa", Epoch: 1, Server: "nyc1", Kind: parking.User, What: parking.Added, Object: string(carol.ID), After: parking.Object{User: &carol}, BaseKnown: true,
				Acts: []mfa.Act{{Time: noon, By: "root (unix socket)", Verb: "user add", Object: "carol"}}, Found: noon},
			{ID: "bbbbbbbbbbbbbbbb", Epoch: 1, Server: "nyc1", Kind: parking.User, What: parking.Changed, Object: string(dave.ID), Before: parking.Object{User: &dave},
				After: parking.Object{User: &then}, BaseKnown: true, Standing: parking.Conflict, Found: noon},
			{ID: "cccccccccccccccc", Epoch: 1, Server: "nyc1", Kind: parking.Credential, What: parking.Removed, Login: "dave", Object: string(dave.ID + "/credcredcredcre2"),
				Before: parking.Object{Credential: &lost}, BaseKnown: true, Found: noon},
		},
		Reports: []parking.Report{{Epoch: 1, ClusterID: "0123456789abcdef", Server: "nyc1", Fork: 41, Last: 97, Began: noon, Finished: noon, Records: 3, Listed: 3,
			Restricted: []string{"credential credcredcredcre2 of user davedavedavedav2 disabled"}}},
	}
}
