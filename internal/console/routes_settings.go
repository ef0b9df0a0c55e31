package console

import "countersign/internal/mfa"

// settingsRoutes are the pages about the group itself and its acts.
func (c *Console) settingsRoutes() []route {
	var (
		see    = one(mfa.MayReadSettings)
		change = one(mfa.MayChangeSettings)
		own    = one(mfa.MayOwn)
	)
	return []route{
		{"GET /offer", one(mfa.MayReadStatus), false, offerPart},
		{"GET /promotion", own, false, promotionPage},
		{"POST /promotion/move", own, true, moveMaster},
		{"GET /promotion/disaster", own, false, disasterPage},
		{"POST /promotion/disaster/begin", own, true, beginEpoch},
		{"GET /parked", see, false, parkedPage},
		{"POST /parked/do", own, true, doParked},
		{"POST /parked/release", own, true, releaseHold},

		{"GET /policy", see, false, policyPage},
		{"POST /policy/edit", change, true, editPolicy},
		{"POST /policy/passkeys", change, true, editPasskeys},

		{"GET /rules", see, false, rulesPage},
		{"GET /new-rule", change, false, newRulePage},
		{"POST /new-rule/create", change, true, keepRule},
		{"GET /rules/{name}", see, false, rulePage},
		{"POST /rules/{name}/edit", change, true, keepRule},
		{"POST /rules/{name}/move", change, true, moveRule},
		{"POST /rules/{name}/remove", change, true, removeRule},

		{"GET /directories", see, false, directoriesPage},
		{"GET /new-directory", change, false, newDirectoryPage},
		{"POST /new-directory/create", change, true, createDirectory},
		{"GET /directories/{name}", see, false, directoryPage},
		{"POST /directories/{name}/edit", change, true, editDirectory},
		{"POST /directories/{name}/test", change, false, testDirectory},
		{"POST /directories/{name}/remove", change, true, removeDirectory},

		{"GET /gateways", see, false, gatewaysPage},
		{"GET /new-gateway/{way}", change, false, newGatewayPage},
		{"POST /new-gateway/{way}/create", change, true, createGateway},
		{"GET /gateways/{name}", see, false, gatewayPage},
		{"POST /gateways/{name}/edit", change, true, editGateway},
		{"POST /gateways/{name}/test", change, false, testGateway},
		{"POST /gateways/{name}/remove", change, true, removeGateway},

		{"GET /texts", see, false, textsPage},
		{"GET /texts/{name}", see, false, textPage},
		{"POST /texts/{name}/preview", change, false, previewText},
		{"POST /texts/{name}/edit", change, true, editText},

		{"GET /tokens", see, false, tokensPage},
		{"POST /tokens/create", own, true, createToken},
		{"POST /tokens/revoke", change, true, revokeToken},

		{"GET /backup", see, false, backupPage},
		{"POST " + backupPath, own, true, makeBackup},
		{"GET /keys", see, false, keysPage},
		{"POST /keys/rotate", change, true, rotateKeys},
	}
}

// administratorRoutes are the pages about who holds a role.
func (c *Console) administratorRoutes() []route {
	see, own := one(mfa.MayReadSettings), one(mfa.MayOwn)
	return []route{
		{"GET /administrators", see, false, administratorsPage},
		{"GET /administrators/new", own, false, newAdministratorPage},
		{"POST /administrators/new/create", own, true, createAdministrator},
		{"GET /administrators/{id}", see, false, administratorPage},
		{"POST /administrators/{id}/edit", own, true, editAdministrator},
		{"POST /administrators/{id}/remove", own, true, removeAdministrator},
	}
}
